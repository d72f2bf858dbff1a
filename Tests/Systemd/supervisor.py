"""The same configuration under the real supervisord and under systemd: the same processes."""
import json
import os
import re
import subprocess
import sys

import applications
import support

PACKAGE = "supervisor==4.3.0"
# Set by systemd for a user; compared where the configuration sets them.
OF_USERS = {b"HOME", b"LOGNAME", b"USER", b"SHELL"}
# systemd's own additions, what Python and this test put in for supervisord, and the address of a server that is gone.
NOT_COMPARED = {b"LANG", b"INVOCATION_ID", b"JOURNAL_STREAM", b"SYSTEMD_EXEC_PID",
                b"MEMORY_PRESSURE_WATCH", b"MEMORY_PRESSURE_WRITE", b"LISTEN_PID", b"LISTEN_FDS", b"LISTEN_FDNAMES",
                b"LISTEN_PIDFDID", b"PYTHONHOME", b"LD_LIBRARY_PATH", b"LC_CTYPE", b"ODD", b"HOME_OF_TEST", b"MAYAN_INSTALL_DIR",
                b"SUPERVISOR_SERVER_URL"}


def package():
    """supervisor from its package registry, once."""
    return support.cached(PACKAGE, lambda place: applications.pip("install", "--target", place, PACKAGE, "setuptools<81"))


def sample(directory):
    """Supervisor's own sample, with its program and its group taken out of their comments."""
    with open(os.path.join(package(), "supervisor/skel/sample.conf")) as file:
        text = file.read()
    program = text[text.index(";[program:"):text.index("; The sample eventlistener")]
    group = text[text.index(";[group:"):text.index("; The [include]")]
    for part in (program, group):
        text = text.replace(part, re.sub("^;(?=[a-z\\[])", "", part, flags=re.M))
    text = text.replace("/bin/cat ", "/usr/local/bin/theprogram ").replace("/a/path", "/var/log/sample.log")
    text = text.replace("user=chrism", "user=tester").replace("progname1,progname2", "theprogramname")
    with open(f"{directory}/sample.conf", "w") as file:
        file.write(";@install /usr/local/bin/theprogram\n" + text)


SCRIPT = support.PREPARE + """
PATH=$(systemctl show-environment | sed -n 's/^PATH=//p')
records=/tmp/record
# Not by PYTHONPATH: a configuration may set its own.
start='import sys; sys.path.insert(0, "/opt/supervisor"); from supervisor.supervisord import main; main()'
mkdir -p -m 777 /run/converted
settle() { # COUNT — until that many processes have been recorded, or for 15 s
  local try
  for ((try = 0; try < 150; try++)); do
    [ "$(ls $records | wc -l)" -lt "$1" ] || break
    sleep 0.1
  done
  sleep 0.3
}
fresh() { rm -rf $records; mkdir -m 777 $records; }
for fixture in /fixtures/*.conf /made/*.conf; do
  lay_out "$fixture"
  mkdir -p "/run/converted/$name" "/out/$name"
  prepare "$fixture" /tools/record
  # supervisord may become a user.
  chmod 777 "/out/$name"
  fresh
  env -i "${surroundings[@]}" cgrun unit from-supervisor "$conf" --json > "/out/$name/conversion.json" || continue
  env -i "${surroundings[@]}" cgrun unit from-supervisor "$conf" --output "/run/converted/$name" 2> "/out/$name/table" || continue
  cp /run/converted/$name/* /run/systemd/system/
  python=$(echo /opt/python/bin/python3.[0-9]*[0-9])
  (
    cd / && exec env -i "${surroundings[@]}" LANG=C.UTF-8 PYTHONHOME=/opt/python LD_LIBRARY_PATH=/opt/python/lib \\
      "$python" -c "$start" -c "$conf" -j /tmp/supervisord.pid -l /out/$name/supervisord.log
  ) > /out/$name/supervisord.out 2>&1 &
  settle "$(ls /run/converted/$name/*.service | wc -l)"
  [ ! -e /tmp/supervisord.pid ] || kill "$(cat /tmp/supervisord.pid)"
  for ((try = 0; try < 100; try++)); do [ -e /tmp/supervisord.pid ] || break; sleep 0.1; done
  wait
  cp -r $records "/out/$name/under-supervisor"
  fresh
  systemctl daemon-reload
  units=$(ls /run/converted/$name | grep -E '[.](service|socket|target)$')
  # What is not started by itself there is not started here.
  systemctl start --no-block $(ls /run/converted/$name | grep '[.]socket$') $(grep -l '^WantedBy=' /run/converted/$name/*.service |
    sed 's|.*/||')
  settle "$(ls "/out/$name/under-supervisor" | wc -l)"
  sleep 1.5
  systemctl --no-pager --plain --no-legend list-units --all $units > "/out/$name/units"
  cp -r $records "/out/$name/under-systemd"
  before=$(date +%s%N)
  systemctl stop $units 2> /dev/null
  echo $((($(date +%s%N) - before) / 1000000)) > "/out/$name/stop-ms"
  pgrep -f -x /tools/record > "/out/$name/left"
  for unit in $units; do rm -f "/run/systemd/system/$unit"; done
  systemctl daemon-reload
  systemctl reset-failed
done
true
"""


def processes(directory):
    """How each process was started, by its name."""
    found = {}
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        arguments, environment, facts = support.read_records(os.path.join(directory, name))[0]
        kept = sorted(entry for entry in environment if entry.partition(b"=")[0] not in NOT_COMPARED)
        found[name] = (arguments, kept, facts)
    return found


def difference(expected, found):
    lines = []
    for name, (arguments, environment, facts) in found.items():
        if name in expected:
            set_there = {entry.partition(b"=")[0] for entry in expected[name][1]}
            kept = [entry for entry in environment if entry.partition(b"=")[0] not in OF_USERS - set_there]
            found[name] = (arguments, kept, facts)
    for name in sorted(set(expected) | set(found)):
        if name not in found or name not in expected:
            lines.append(f"{name}: only under {'supervisor' if name in expected else 'systemd'}")
            continue
        for what, a, b in zip(("argv", "environment", "surroundings"), expected[name], found[name]):
            if a != b:
                lines.append(f"{name}: {what} under supervisor {a!r}\n    under systemd {b!r}")
    return lines


def run(suites):
    place = support.workplace()
    try:
        support.build_recorder(place)
        os.mkdir(f"{place}/made")
        sample(f"{place}/made")
        applications.put(f"{place}/made")
        python = sys.base_prefix
        for suite in suites:
            out = f"{place}/out-{suite}"
            os.mkdir(out)
            binds = [f"{host}:{guest}" for host, guest in support.cgrun_binds() + [
                (support.FIXTURES, "/fixtures"), (f"{place}/made", "/made"), (place, "/tools"), (python, "/opt/python"),
                (package(), "/opt/supervisor")]]
            status, output = support.boot(suite, SCRIPT, binds + [f"{out}:/out:rw"])
            if os.environ.get("KEEP"):
                subprocess.run(["cp", "-r", out, os.environ["KEEP"]], check=True)
            names = sorted(os.listdir(out))
            for name in names:
                there = processes(f"{out}/{name}/under-supervisor")
                here = processes(f"{out}/{name}/under-systemd")
                lines = difference(there, here)
                log = ""
                if not there and os.path.exists(f"{out}/{name}/supervisord.out"):
                    log = open(f"{out}/{name}/supervisord.out").read()[-800:]
                yield (f"{suite}: {name}: {len(there)} processes with the same argv, environment, directory, mask and user",
                       bool(there) and not lines, "\n".join(lines[:12]) + log + ("" if there else output[-800:]))
                conversion = f"{out}/{name}/conversion.json"
                if os.path.exists(conversion) and os.path.getsize(conversion):
                    with open(conversion) as file:
                        document = json.load(file)
                    silent = [entry for entry in document["conversions"] if entry["grade"] != "exact" and not entry["note"]]
                    yield f"{suite}: {name}: every difference has its note", not silent, str(silent[:5])
            yield f"{suite}: all configurations were run", status == 0 and len(names) >= 14, output[-1500:]
    finally:
        support.remove(place)
