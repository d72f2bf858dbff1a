"""systemd-analyze verify and security on everything that is generated and shipped."""
import os
import re

import support

# Each kind of readiness and requirement, and what is written for a service in another way than by `unit service`.
# Without ExitType=cgroup, of which verify warns where the machine that it runs on has cgroup v1.
SERVICES = r"""
[service.db]
command = ["sleep", "1000", "%n", "$HOME"]
ready = { tcp = 7000 }
log = { file = "db 50%.log", max = "1M", keep = 7 }
uid = "root"
gid = "root"
io-max = ["8:0:rbps=10M"]
[service.seed]
command = ["sleep", "1"]
requires = { db = "ready" }
wait-all = true
timeout = "1m"
[service.web]
command = ["sleep", "100%i"]
requires = { db = "started", seed = "completed" }
instances = 2
ready = { http = "http://[::1]:8080/a?b=%i" }
restart = "always"
reload = { command = ["sleep", "0 $MAINPID"] }
stop = { signal = "RTMIN+3", after = "0s", mode = "mixed" }
mem = "1G"
timeout = "90m"
fail-on-oom = true
[service.notify]
command = ["sleep", "1000"]
ready = { notify = true }
reload = { signal = "USR1" }
give-up = "never"
[service.line]
command = ["sleep", "1000"]
ready = { log = "it's \"up\" %n" }
requires = { probed = "ready", late = "ready" }
[service.probed]
command = ["sleep", "1000"]
ready = { exec = ["test", "-e", "/x y"] }
[service.late]
command = ["sleep", "1000"]
ready = { delay = "1500ms" }
"""

COMMAND = ["--", "/bin/sleep", "1000", "a b", "%n", "$HOME", "\\", '"']


def generate(directory):
    def put(*arguments):
        support.cgrun(*arguments[:2], "--install", directory, *arguments[2:])

    put("service", "plain", *COMMAND)
    put("service", "full", "--mem", "2G", "--mem-high", "1G", "--swap", "0", "--pids", "10", "--cpu", "1.5",
        "--cpu-weight", "50", "--cpuset", "0-1", "--io-max", "/srv:rbps=10M,wiops=max", "--io-max", "8:0:riops=5",
        "--user", "tester", "--group", "tester", "-C", "/home/tester", "-E",
        "A=b \"c\" %d $e", "-E", b"RAW=\xff\x01", "--env-file", "-/etc/x y.env", "--restart", "always",
        "--restart-delay", "500ms", "--stop-signal", "RTMIN+3", "--stop-timeout", "90s", "--kill-mode", "mixed",
        "--reload-signal", "HUP", "--after", "network.target", "--wants", "dbus", "--requires", "basic.target", "--log",
        "/var/log/full %.log", "--umask", "027", "--description", "100% full", "--slice", "apps-web", *COMMAND)
    put("service", "many", "--instances", "3", *COMMAND)
    put("service", "wrapped", "--mode", "wrapped", "--cgrun", "/usr/bin/cgrun", "--mem", "64M", "--report",
        "/run/report.json", *COMMAND)
    for profile in ("standard", "strict"):
        put("service", f"{profile}-root", "--harden", profile, *COMMAND)
        put("service", f"{profile}-user", "--harden", profile, "--user", "tester", "-C", "/home/tester", *COMMAND)
        put("service", f"{profile}-paths", "--harden", profile, "--read-write", "/srv/a b%c", "--umask", "077", *COMMAND)
    put("service", "strict-net", "--harden", "strict", "--allow-network", *COMMAND)
    put("service", "wrapped-standard", "--mode", "wrapped", "--cgrun", "/usr/bin/cgrun", "--harden", "standard", *COMMAND)
    put("slice", "apps-web", "--mem", "4G", "--pids", "100", "--cpu", "2")
    put("socket", "plain", "--listen", "/run/plain.sock", "--listen", "8080", "--listen", "[::1]:8081",
        "--listen-datagram", "127.0.0.1:99", "--mode", "0660", "--user", "tester", "--backlog", "16")
    put("timer", "plain", "--on-calendar", "Mon *-*-* 04:00:00", "--on-boot", "5m", "--every", "1h", "--jitter", "30s",
        "--accuracy", "1s", "--persistent")
    services = os.path.join(directory, "cgrun.toml")
    with open(services, "w") as file:
        file.write(SERVICES)
    support.cgrun("from-services", services, "--output", directory, "--prefix", "boot-")
    put("scope", "cgrun", "--mem", "1G", "--pids", "100", "--stop-timeout", "5s")


# Executables that are not in the tree are made up: verify wants them to be there.
SCRIPT = support.PREPARE + """
mkdir -p /run/systemd/system
cp -r /units/. /run/systemd/system/
for fixture in /fixtures/*.conf; do
  # Each where no other fixture's names can clash.
  prefix=$(basename "$fixture" .conf)-
  prepare "$fixture" /bin/true
  ODD=x HOME_OF_TEST=/h cgrun unit from-supervisor "$fixture" --output /run/systemd/system --prefix "$prefix" 2> /run/said ||
    echo "REFUSED $fixture: $(cat /run/said)"
done
rm -f /run/systemd/system/*.logrotate
for path in $(sed -n 's/^ExecStart=[:@]*\\(\\/[^ ]*\\).*/\\1/p' /run/systemd/system/*.service); do
  [ -e "$path" ] || { mkdir -p "${path%/*}"; cp /bin/true "$path"; }
done
cd /run/systemd/system
for unit in *.service *.slice *.socket *.timer *.target; do
  case $unit in *@.service) name=${unit%.service}1.service ;; *) name=$unit ;; esac
  if out=$(systemd-analyze verify --man=no --recursive-errors=yes "/run/systemd/system/$name" 2>&1) && [ -z "$out" ]; then
    echo "verified $unit"
  else
    echo "REFUSED $unit: $out"
  fi
done
# A scope cannot be loaded from a file; its drop-in reads like any other.
for file in *.scope.d/*.conf; do
  sed 's/^\\[Scope\\]/[Service]\\nExecStart=\\/bin\\/true/' "$file" > /run/scope-check.service
  if out=$(systemd-analyze verify --man=no --recursive-errors=yes /run/scope-check.service 2>&1) && [ -z "$out" ]; then
    echo "verified $file"
  else
    echo "REFUSED $file: $out"
  fi
done
for unit in standard*.service strict*.service; do
  level=$(systemd-analyze security --no-pager --offline=true "/run/systemd/system/$unit" 2>/dev/null |
    sed -n 's/.*exposure level for .*: \\([0-9.]*\\) .*/\\1/p')
  echo "SCORE $unit $level"
done
"""


def limit(name):
    """strict with the network left to it is not what the threshold is about, but is kept from getting worse."""
    return 1.5 if name.startswith("strict-net") else 1.0 if name.startswith("strict") else 4.0


def run(suites):
    place = support.workplace()
    try:
        generate(place)
        for suite in suites:
            binds = [(place, "/units"), (support.FIXTURES, "/fixtures")] + support.cgrun_binds()
            script = SCRIPT
            shipped = os.path.join(support.ROOT, "units")
            if os.path.isdir(shipped):
                binds.append((shipped, "/shipped"))
                script = "mkdir -p /run/systemd/system; cp -r /shipped/. /run/systemd/system/\n" + SCRIPT
            status, output = support.in_tree(suite, script, binds)
            refused = re.findall(r"^REFUSED .*(?:\n(?!verified|SCORE|REFUSED).*)*", output, re.M)
            count = len(re.findall(r"^verified ", output, re.M))
            yield f"{suite}: verify accepts {count} units", status == 0 and count > 50 and not refused, "\n".join(refused) or output[-2000:]
            scores = re.findall(r"^SCORE (\S+) (\S*)$", output, re.M)
            for name, score in scores:
                yield f"{suite}: {name} is exposed {score} of at most {limit(name)}", score != "" and float(score) <= limit(name), ""
            yield f"{suite}: exposure measured", len(scores) >= 7, output[-500:]
    finally:
        support.remove(place)
