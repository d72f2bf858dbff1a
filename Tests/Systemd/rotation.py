"""The real logrotate reads what is generated for it, and rotates the logs that the units write, at their sizes only."""
import os
import re

import applications
import support
import supervisor

# Names that logrotate and its patterns could take for something else.
ODD = """;@install /usr/local/bin/odd
[program:plain]
command=/usr/local/bin/odd
stdout_logfile=/var/log/odd logs/a b.log
stderr_logfile=/var/log/odd logs/a"b'.log
[program:pattern]
command=/usr/local/bin/odd
stdout_logfile=/var/log/odd logs/[a]*?.log
stderr_logfile=/var/log/odd logs/{x,y}.log
[program:signs]
command=/usr/local/bin/odd
stdout_logfile=/var/log/odd logs/100%%%%.log
stderr_logfile=/var/log/odd logs/back\\\\slash#.log
stderr_logfile_maxbytes=1MB
stderr_logfile_backups=2
"""

SCRIPT = support.PREPARE + """
mkdir -p '/var/log/odd logs'
# Matches a name that looks like a pattern, but is nobody's log.
bystander='/var/log/odd logs/aXY.log'
for fixture in /fixtures/*.conf /made/*.conf; do
  lay_out "$fixture"
  prepare "$fixture" /bin/true
  rm -rf /run/converted
  env -i "${surroundings[@]}" cgrun unit from-supervisor "$conf" --output /run/converted 2> /run/said ||
    { echo "WRONG $name: refused: $(cat /run/said)"; continue; }
  snippet=/run/converted/supervisor.logrotate
  if [ ! -e $snippet ]; then continue; fi
  echo "SNIPPET $name"
  logrotate --debug $snippet > /run/said 2>&1 || echo "WRONG $name: $(cat /run/said)"
  grep -iE '^(error|warning)' /run/said | grep -v 'in debug mode does nothing' | sed "s/^/WRONG $name: /"
  # Those that are written and rotated, from the units; systemd doubles the percent sign.
  sed -n 's/^Standard[A-Za-z]*=append://p' /run/converted/*.service | sed 's/%%/%/g' | sort -u > /run/logs
  rm -f /run/state
  opened=()
  while IFS= read -r log; do rm -f "$log" "$log".?; echo small > "$log"; done < /run/logs
  logrotate --state /run/state $snippet 2> /run/said || echo "WRONG $name: small: $(cat /run/said)"
  while IFS= read -r log; do
    [ ! -e "$log.1" ] || echo "WRONG $name: $log was rotated below its size"
    truncate -s 60M "$log"
    # systemd keeps it open: the same file must go on.
    exec {open}< "$log" && opened+=($open)
  done < /run/logs
  truncate -s 60M "$bystander"
  logrotate --state /run/state $snippet 2> /run/said || echo "WRONG $name: large: $(cat /run/said)"
  [ ! -e "$bystander.1" ] || echo "WRONG $name: $bystander was rotated"
  while IFS= read -r log; do
    open=${opened[0]}
    if [ -s "/proc/$$/fd/$open" ] || [ -s "$log" ] || [ "$(stat -c %s "$log.1" 2> /dev/null)" != 62914560 ]; then
      grep -q "^$name $log\\$" /unbounded || echo "WRONG $name: $log was not rotated at its size"
    else
      echo "ROTATED $name: $log"
    fi
    rm -f "$log" "$log".?
    exec {open}<&-
    opened=("${opened[@]:1}")
  done < /run/logs
done
"""


def run(suites):
    place = support.workplace()
    try:
        os.mkdir(f"{place}/made")
        supervisor.sample(f"{place}/made")
        applications.put(f"{place}/made")
        with open(f"{place}/made/odd-logs.conf", "w") as file:
            file.write(ODD)
        # With maxbytes=0: never rotated.
        with open(f"{place}/unbounded", "w") as file:
            file.write("web-app /opt/web/log/out.log\n")
        for suite in suites:
            binds = [(support.FIXTURES, "/fixtures"), (f"{place}/made", "/made"), (f"{place}/unbounded", "/unbounded")]
            status, output = support.in_tree(suite, SCRIPT, binds + support.cgrun_binds())
            wrong = "\n".join(re.findall(r"^WRONG .*(?:\n(?!WRONG|SNIPPET|ROTATED).*)*", output, re.M))
            snippets = len(re.findall(r"^SNIPPET ", output, re.M))
            logs = len(re.findall(r"^ROTATED ", output, re.M))
            yield (f"{suite}: logrotate takes {snippets} snippets and rotates {logs} logs", status == 0 and not wrong
                   and snippets >= 9 and logs >= 25, wrong or output[-2000:])
    finally:
        support.remove(place)
