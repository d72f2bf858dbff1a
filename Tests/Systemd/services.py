"""Units from a cgrun.toml start in its order: each when what it requires is ready or has ended."""
import os
import re

import support

SERVICES = r"""
[defaults]
dir = "/"
backoff = "1s"
give-up = "3/1m"
[service.port]
command = ["sh", "-c", "sleep 2; : > /tmp/port; exec systemd-socket-activate -l 7000 sleep 1000"]
ready = { tcp = 7000 }
restart = "no"
[service.seed]
command = ["sh", "-c", "test -e /tmp/port && sleep 1 && : > /tmp/seed"]
requires = { port = "ready" }
restart = "no"
[service.line]
command = ["sh", "-c", "test -e /tmp/seed || exit; sleep 1; : > /tmp/line; echo it is up; exec sleep 1000"]
requires = { seed = "completed" }
ready = { log = "is up" }
uid = "daemon"
[service.probed]
command = ["sh", "-c", "test -e /tmp/line || exit; sleep 1; : > /tmp/probed; exec sleep 1000"]
requires = { line = "ready" }
ready = { exec = ["test", "-e", "/tmp/probed"] }
[service.told]
command = ["sh", "-c", "test -e /tmp/probed || exit; sh -c 'systemd-notify --ready; :'; exec sleep 1000"]
requires = { probed = "ready" }
ready = { notify = true }
[service.bad]
command = ["sh", "-c", "sleep 0.1; kill -TERM $$"]
ready = { exec = ["false"] }
[service.never]
command = ["sleep", "1000"]
requires = { bad = "ready" }
# The main process of these is gone long before anybody can tell whether they are ready.
[service.tree-probed]
command = ["sh", "-c", "(sleep 3; : > /tmp/tree; exec sleep 1000) & exit 0"]
wait-all = true
ready = { exec = ["test", "-e", "/tmp/tree"] }
[service.tree-waited]
command = ["sh", "-c", "sleep 1000 & exit 0"]
wait-all = true
ready = { delay = "2s" }
[service.tree-notified]
command = ["sh", "-c", "(sleep 2; systemd-notify --ready; exec sleep 1000) & exit 0"]
wait-all = true
ready = { notify = true }
restart = "no"
[service.variables]
command = ["sh", "-c", "[ $A/$B/$C/$PATH = own/b/file/$PWD/odd:/usr/bin:/bin ] && tr '\\0' '\\n' < /proc/$$/environ | grep -q ^D-E=e$ && exec found"]
dir = "@DIRECTORY@"
env-file = "@DIRECTORY@/e[1] *\\?.env"
env = { A = "own", B = "b", D-E = "e" }
[service.many]
command = ["sh", "-c", "exec sleep 100%i"]
instances = 2
# What the service's user may write runs as that user, and never as root.
[service.variables-of-a-user]
command = ["sleep", "1000"]
uid = "daemon"
env-file = "@DIRECTORY@/daemon.env"
dir = "@DIRECTORY@"
ready = { log = "never" }
ready-timeout = "5s"
restart = "no"
"""

TRAP = """#!/bin/sh
id -u >> /tmp/who
exec /usr/bin/sleep 1
"""

SCRIPT = """
cp /units/*.service /units/*.target /run/systemd/system/
systemctl daemon-reload
systemctl start --no-block told never tree-probed tree-waited tree-notified variables many@1 many@2 variables-of-a-user
for i in $(seq 60); do
  systemctl is-active --quiet told && [ "$(systemctl show -P SubState bad)" = failed ] && break
  sleep 0.5
done
for i in $(seq 30); do
  [ "$(systemctl show -P SubState tree-probed)" = running ] && [ "$(systemctl show -P SubState variables-of-a-user)" = failed ] && break
  sleep 0.5
done
for unit in port seed line probed told bad never tree-probed tree-waited tree-notified variables many@1 many@2 variables-of-a-user; do
  echo "STATE $unit $(systemctl show -P ActiveState $unit) $(systemctl show -P SubState $unit) $(systemctl show -P NRestarts $unit)"
done
echo "USERS $(sort -u /tmp/who | tr '\n' ' ')"
journalctl --no-pager -n 60
"""

EXPECTED = {
    "seed": "active exited 0", "line": "active running 0", "probed": "active running 0", "told": "active running 0",
    "bad": "failed failed 3", "never": "inactive dead 0",
    "tree-probed": "active running 0", "tree-waited": "active running 0", "tree-notified": "active running 0", "variables": "active running 0",
    "many@1": "active running 0", "many@2": "active running 0", "variables-of-a-user": "failed failed 0",
}


def run(suites):
    place = support.workplace()
    try:
        services, units = os.path.join(place, "cgrun.toml"), os.path.join(place, "units")
        variables = os.path.join(place, "variables")
        odd = os.path.join(variables, "odd")
        os.makedirs(odd)
        with open(os.path.join(variables, "e[1] *\\?.env"), "w") as file:
            file.write(f"A=file\nC=file\nPATH={odd}:/usr/bin:/bin\n")
        with open(os.path.join(variables, "daemon.env"), "w") as file:
            file.write(f"PATH={odd}:/usr/bin:/bin\n")
        os.symlink("/bin/true", os.path.join(odd, "true"))
        for name, text in (("found", "#!/bin/sh\nexec sleep 1000\n"), ("journalctl", TRAP)):
            with open(os.path.join(odd, name), "w") as file:
                file.write(text)
            os.chmod(os.path.join(odd, name), 0o755)
        with open(services, "w") as file:
            file.write(SERVICES.replace("@DIRECTORY@", variables))
        support.cgrun("from-services", services, "--output", units)
        for suite in suites:
            _, output = support.boot(suite, SCRIPT, [f"{units}:/units", f"{variables}:{variables}"])
            states = dict(re.findall(r"^STATE (\S+) (.*)$", output, re.M))
            for unit, state in EXPECTED.items():
                found = states.get(unit)
                yield f"{suite}: {unit} is {state}", found == state, f"it is {found}\n{output[-3000:]}"
            users = re.search(r"^USERS (.*)$", output, re.M)
            yield (f"{suite}: what a user may have changed runs as that user", users and users[1].split() == ["1"],
                   f"as {users and users[1]}\n{output[-3000:]}")
    finally:
        support.remove(place)
