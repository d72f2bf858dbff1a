"""The three services of the production guide under --harden standard: start, run, reload, stop, and nothing is left."""
import os
import re
import subprocess

import support

HOME = "/home/abcdeveloper/projects/analyticbot"
# TimeoutStopSec is the guide's, divided by ten.
SERVICES = {
    "analyticbot-api": (["--mem", "2G", "--stop-timeout", "3s", "--kill-mode", "mixed", "--after", "network.target",
                         "--restart-delay", "10s"], ["uvicorn", "11400", "4"], 3),
    "analyticbot-bot": (["--stop-timeout", "3s", "--kill-mode", "mixed", "--after", "analyticbot-api", "--wants",
                         "analyticbot-api", "--restart-delay", "10s"], ["python", "0", "0"], 3),
    "analyticbot-mtproto": (["--mem", "4G", "--pids", "10", "--stop-timeout", "6s", "--after", "analyticbot-api", "--wants",
                             "analyticbot-api", "--restart-delay", "30s"], ["python", "0", "5"], 6),
}

SCRIPT = """
useradd --create-home abcdeveloper
mkdir -p HOME/.venv/bin /etc/systemd/system
for name in uvicorn python; do cp /tools/tree "HOME/.venv/bin/$name"; done
echo 'FROM_FILE="the file"' > HOME/.env.production
chown -R abcdeveloper: /home/abcdeveloper
cp /units/*.service /etc/systemd/system/
cp -r /shipped/. /etc/systemd/system/
mkdir -p /etc/cgrun
printf 'OPTIONS=--timeout 1h\\nCOMMAND=/bin/sleep 100\\n' > /etc/cgrun/sleep.conf
systemctl daemon-reload
say() { echo "RESULT $*"; }
listening() { (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null && echo yes || echo no; }
in_unit() { cat "/sys/fs/cgroup$(systemctl show -P ControlGroup "$1")/cgroup.procs" 2> /dev/null | wc -l; }
for unit in analyticbot-api analyticbot-bot analyticbot-mtproto wrapped wrapped-standard wrapped-strict cgrun@sleep; do
  rm -f HOME/started HOME/reloads
  say $unit start "$(systemctl start $unit && systemctl is-active $unit)"
  sleep 0.7
  group=/sys/fs/cgroup$(systemctl show -P ControlGroup $unit)
  pids=$(find "$group" -name cgroup.procs -exec cat {} +)
  say $unit processes "$(echo $pids | wc -w)"
  say $unit started "$(cat HOME/started 2>&1)"
  say $unit user "$(ps -o user:20= -p "$(systemctl show -P MainPID $unit)" | tr -d ' ')"
  [ $unit != analyticbot-api ] || say $unit listening "$(listening 11400)"
  say $unit limits "$(systemctl show -P MemoryMax $unit) $(systemctl show -P TasksMax $unit)"
  case $unit in
    wrapped*) ;;
    *)
      systemctl reload $unit
      sleep 0.3
      say $unit reload "$(cat HOME/reloads 2>&1) $(systemctl is-active $unit)"
      ;;
  esac
  before=$(date +%s%N)
  systemctl stop $unit
  say $unit stop-ms $((($(date +%s%N) - before) / 1000000))
  left=$(for pid in $pids; do [ -e "/proc/$pid/exe" ] && echo "$pid"; done)
  say $unit left "[$left]"
  say $unit cgroup "$([ -e "$group" ] && echo there || echo gone)"
  [ $unit != analyticbot-api ] || say $unit port "$(listening 11400)"
  say $unit ended "$(systemctl is-active $unit)"
  journalctl --no-pager --quiet -u $unit | tail -n 5
done

# A job whose guard is stopped and whose launcher and guard are then killed is what a sweep is for.
systemd-run --quiet --unit lost --property Delegate=yes --property KillMode=process /usr/bin/cgrun -- /bin/sleep 4321
sleep 1
launcher=$(systemctl show -P MainPID lost)
guard=$(pgrep -P "$launcher" -f cgrun-guard || pgrep -f cgrun-guard)
kill -STOP $guard
kill -KILL "$launcher" $guard
sleep 0.5
say sweep before "$(pgrep -fc 'sleep 4321')"
systemctl start cgrun-sweep.service
say sweep after "$(pgrep -fc 'sleep 4321')"
journalctl --no-pager --quiet -u cgrun-sweep | tail -n 5
systemctl start cgrun-sweep.timer cgrun.slice
say sweep timer "$(systemctl is-active cgrun-sweep.timer)"
"""


def generate(directory):
    for name, (options, command, _) in SERVICES.items():
        support.cgrun("service", name, "--install", directory, "--harden", "standard", "--user", "abcdeveloper", "--group",
                      "abcdeveloper", "-C", HOME, "-E", f"PATH={HOME}/.venv/bin:/usr/local/bin:/usr/bin", "-E",
                      "PYTHONUNBUFFERED=1", "--env-file", f"{HOME}/.env.production", "--restart", "always",
                      "--reload-signal", "HUP", *options, "--", f"{HOME}/.venv/bin/{command[0]}", *command[1:])
    for name, options in (("wrapped", []), ("wrapped-standard", ["--harden", "standard"])):
        support.cgrun("service", name, "--install", directory, "--mode", "wrapped", "--cgrun", "/usr/bin/cgrun", "-C", HOME,
                      "--stop-timeout", "4s", *options, "--", f"{HOME}/.venv/bin/python", "0", "3")
    support.cgrun("service", "wrapped-strict", "--install", directory, "--mode", "wrapped", "--cgrun", "/usr/bin/cgrun",
                  "--stop-timeout", "4s", "--harden", "strict", "--user", "abcdeveloper", "--", "/bin/sleep", "100")


def run(suites):
    place = support.workplace()
    try:
        os.mkdir(f"{place}/units")
        generate(f"{place}/units")
        subprocess.run(["cc", "-O1", "-static", "-o", f"{place}/tree", f"{support.HERE}/tree.c"], check=True)
        guard = os.path.join(os.path.dirname(support.cgrun_path()), "cgrun-guard")
        binds = [f"{place}:/tools", f"{place}/units:/units", f"{guard}:/usr/bin/cgrun-guard"]
        binds += [os.path.join(support.ROOT, "units") + ":/shipped"]
        binds += [":".join(bind) for bind in support.cgrun_binds()]
        for suite in suites:
            status, output = support.boot(suite, SCRIPT.replace("HOME", HOME), binds)
            seen = {}
            for unit, key, value in re.findall(r"^RESULT (\S+) (\S+) ?(.*)$", output, re.M):
                seen.setdefault(unit, {})[key] = value

            def check(unit, expected, limit):
                facts = seen.get(unit, {})
                wrong = [f"{key}: {facts.get(key)!r}, expected {value!r}" for key, value in expected.items()
                         if facts.get(key) != value]
                if not facts.get("stop-ms", "").isdigit() or int(facts["stop-ms"]) > limit * 1000 + 1500:
                    wrong.append(f"stop took {facts.get('stop-ms')} ms")
                return not wrong, "\n".join(wrong) + "\n" + output[-2500:]

            common = {"start": "active", "left": "[]", "cgroup": "gone", "ended": "inactive"}
            running = {"user": "abcdeveloper", "reload": "reloaded active", "started": "the file"}
            expected = {
                "analyticbot-api": {"processes": "6", "listening": "yes", "port": "no"},
                "analyticbot-bot": {"processes": "2"},
                # Every process gets SIGTERM and most ignore it: systemd calls that a failed stop, and kills.
                "analyticbot-mtproto": {"processes": "7", "limits": f"{4 << 30} 10", "ended": "failed"},
            }
            for unit, (_, _, limit) in SERVICES.items():
                result, detail = check(unit, common | running | expected[unit], limit)
                yield f"{suite}: {unit} starts, runs, reloads and stops with its whole tree", result, detail
            for unit in ("wrapped", "wrapped-standard", "wrapped-strict", "cgrun@sleep"):
                result, detail = check(unit, common, 4)
                processes = int(seen.get(unit, {}).get("processes", "0"))
                yield f"{suite}: {unit} runs and stops with its whole tree", result and processes >= (6 if unit in ("wrapped", "wrapped-standard") else 3), detail
            sweep = seen.get("sweep", {})
            yield (f"{suite}: cgrun-sweep.service removes what dead launchers left",
                   sweep == {"before": "1", "after": "0", "timer": "active"}, f"{sweep}\n{output[-1500:]}")
            yield f"{suite}: the script ended", status == 0, output[-1000:]
    finally:
        support.remove(place)
