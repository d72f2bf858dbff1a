"""cgrun unit itself: refusals, files that are not its own, --diff, --force, --enable, --json."""
import json
import os

import support

# Options, and words of the one line that refuses them.
REFUSALS = [
    (["service", "a b", "--", "/bin/true"], "unit name a b: expected letters"),
    (["service", "x"], "no command given"),
    (["service", "x", "--", "no-such-program-x"], "no-such-program-x: not found in PATH"),
    (["service", "x", "--", '/bin/tr"ue'], "systemd refuses there even escaped"),
    (["service", "x", "--mem", "12MB", "--", "/bin/true"], "--mem 12MB: expected bytes"),
    (["service", "x", "--pids", "0", "--", "/bin/true"], "--pids 0: expected"),
    (["service", "x", "--cpu", "x", "--", "/bin/true"], "--cpu x: expected"),
    (["service", "x", "--user", "a b", "--", "/bin/true"], "--user a b: expected a name"),
    (["service", "x", "-C", "relative", "--", "/bin/true"], "--working-directory relative: expected an absolute path"),
    (["service", "x", "-E", "=x", "--", "/bin/true"], "--setenv =x: expected NAME=VALUE"),
    (["service", "x", "--env-file", "x", "--", "/bin/true"], "--env-file x: expected an absolute path"),
    (["service", "x", "--log", "x", "--", "/bin/true"], "--log x: expected an absolute path"),
    (["service", "x", "--stop-signal", "FOO", "--", "/bin/true"], "--stop-signal FOO: expected a signal"),
    (["service", "x", "--stop-timeout", "5", "--", "/bin/true"], "--stop-timeout 5: expected a number with"),
    (["service", "x", "--after", "a/b", "--", "/bin/true"], "--after a/b: expected a unit's full name"),
    (["service", "x", "--harden", "hard", "--", "/bin/true"], "hard"),
    (["service", "x", "--restart", "maybe", "--", "/bin/true"], "maybe"),
    (["service", "x", "--read-write", "/x", "--", "/bin/true"], "expected --harden"),
    (["service", "x", "--report", "/x", "--", "/bin/true"], "--mode wrapped"),
    (["service", "x", "--mode", "wrapped", "--harden", "strict", "--", "/bin/true"], "expected --user"),
    (["service", "x", "--mode", "wrapped", "--harden", "standard", "--user-install", "--", "/bin/true"], "expected --harden off"),
    (["service", "x", "--instances", "0", "--", "/bin/true"], "--instances 0: expected"),
    (["service", "x", "--umask", "9", "--", "/bin/true"], "--umask 9: expected octal"),
    (["service", "x", "--no-such-option", "--", "/bin/true"], "--no-such-option"),
    (["service", "x", "--install", "/no/such/directory", "--", "/bin/true"], "--install /no/such/directory: cannot be written"),
    (["service", "x", "--enable", "--", "/bin/true"], "--enable needs --install"),
    (["service", "x", "--", "/bin/true", "y" * 131071], None),
    (["slice", "a--b"], "unit name a--b: expected"),
    (["scope", "a/b"], "unit name a/b-"),
    (["socket", "x"], "--listen: expected"),
    (["socket", "x", "--listen", "http"], "--listen http: expected /PATH"),
    (["timer", "x"], "--on-calendar"),
    (["timer", "x", "--every", "5"], "--every 5: expected"),
    (["from-supervisor", "/no/such/file"], "/no/such/file: expected a file"),
    (["bogus"], "bogus"),
]


def refusals():
    wrong = []
    for arguments, words in REFUSALS:
        result = support.cgrun(*arguments, check=False)
        line = result.stderr.decode()
        if words is None:
            if result.returncode != 0:
                wrong.append(f"{arguments[:4]}: {line}")
        elif result.returncode != 125 or words not in line or line.count("\n") != 1 or result.stdout:
            wrong.append(f"{arguments}: {result.returncode} {line!r}")
    return wrong


def files(place):
    """Yields (title, holds) for what happens to files."""
    def unit(*options, name="x", command=("/bin/true",)):
        return support.cgrun("service", name, "--install", place, *options, "--", *command, check=False)

    path = f"{place}/x.service"
    yield "a unit is written, readable for all, with nothing beside it", (
        unit().returncode == 0 and os.stat(path).st_mode & 0o777 == 0o644 and os.listdir(place) == ["x.service"])
    first = open(path).read()
    inode = os.stat(path).st_ino
    yield "the same unit leaves the file alone", unit().returncode == 0 and os.stat(path).st_ino == inode
    shown = unit("--diff", "--mem", "1G").stdout.decode()
    yield "--diff shows and changes nothing", (
        "+MemoryMax=1G\n" in shown and " [Service]\n" in shown and open(path).read() == first)
    yield "its own file is replaced", unit("--mem", "1G").returncode == 0 and "MemoryMax=1G" in open(path).read()
    with open(path, "w") as file:
        file.write("[Service]\nExecStart=/bin/mine\n")
    result = unit()
    yield "another's file stays", (
        result.returncode == 125 and b"was not written by cgrun" in result.stderr and "mine" in open(path).read())
    yield "unless --force is given", unit("--force").returncode == 0 and "mine" not in open(path).read()
    with open(f"{place}/w.target", "w") as file:
        file.write("[Unit]\n")
    result = unit("--instances", "2", name="w")
    yield "of several files all or none are written", result.returncode == 125 and not os.path.exists(f"{place}/w@.service")
    result = support.cgrun("scope", "cgrun", "--pids", "10", "--install", place)
    yield "drop-ins get their directory", os.path.exists(f"{place}/cgrun-.scope.d/50-cgrun.conf")
    out = f"{place}/made/here"
    result = support.cgrun("from-supervisor", f"{support.FIXTURES}/guide.conf", "--output", out, check=False)
    yield "--output is made", result.returncode == 0 and len(os.listdir(out)) == 5 and b"exact" in result.stderr
    document = json.loads(support.cgrun("from-supervisor", f"{support.FIXTURES}/guide.conf", "--json"))
    yield "--json has units and grades", (
        document["schema"] == 1 and len(document["units"]) == 4 and {"exact", "approximate"} >= {
            entry["grade"] for entry in document["conversions"]})
    left = [name for _, _, names in os.walk(place) for name in names if name.endswith("cgrun-new")]
    yield "no temporary file is left", not left


SCRIPT = """
say() { echo "RESULT $*"; }
# Stopping a target does not wait for what stops with it.
settled() {
  local try
  for ((try = 0; try < 50; try++)); do systemctl is-active "$@" | grep -q activating || break; sleep 0.1; done
  systemctl is-active "$@" | sort -u
}
cgrun unit service one --install /etc/systemd/system --enable -- /bin/sleep 100
say enabled "$(systemctl is-enabled one) $(systemctl start one && systemctl is-active one)"
cgrun unit service dbus --install /etc/systemd/system -- /bin/sleep 100 2> /run/said
say hidden "$? $(grep -c 'would be hidden' /run/said) $(ls /etc/systemd/system/dbus.service 2> /dev/null)"
cgrun unit service w --instances 3 --install /etc/systemd/system --enable -- /bin/sleep 100
systemctl start w.target
say instances "$(systemctl is-active w@1 w@2 w@3 | sort -u) $(systemctl stop w.target; settled w@1 w@2 w@3)"
printf '[program:s]\\ncommand=sleep 1000\\n[program:t]\\ncommand=sleep 1000\\n[group:g]\\nprograms=s,t\\n' > /run/g.conf
cgrun unit from-supervisor /run/g.conf --output /etc/systemd/system --enable > /dev/null 2>&1
systemctl start g.target
sleep 1.5
say group "$(systemctl is-active s t | sort -u) $(systemctl stop g.target; settled s t)"
export XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/tester
as_tester() { setpriv --reuid 1000 --regid 1000 --init-groups "$@"; }
cd /
as_tester cgrun unit service mine --user-install --enable -- /bin/sleep 100
say user "$(as_tester systemctl --user start mine && as_tester systemctl --user is-active mine) $(as_tester systemctl --user is-enabled mine)"
for harden in standard strict; do
  as_tester cgrun unit service $harden --user-install --enable --harden $harden -C /tmp -- /bin/sleep 100
done
say user-harden "$(as_tester systemctl --user start standard strict; as_tester systemctl --user is-active standard strict | sort -u)"
as_tester cgrun unit service mine --install /etc/systemd/system -- /bin/sleep 100 2> /run/said
say unwritable "$? $(grep -c 'cannot be written' /run/said)"
cgrun unit service two --install /etc/systemd/system -- /bin/sleep 100
cgrun unit socket sock --listen /run/sock.s --service two --install /etc/systemd/system --enable
cgrun unit timer tick --every 1h --on-boot 1h --service one --install /etc/systemd/system --enable
say others "$(systemctl start sock.socket tick.timer && systemctl is-active sock.socket tick.timer | sort -u)"
say early "$(printf '[program:quick]\\ncommand=sleep 0.4\\nstartretries=2\\n' > /run/q.conf
  cgrun unit from-supervisor /run/q.conf --output /run/systemd/system > /dev/null 2>&1
  systemctl daemon-reload; systemctl start quick; sleep 9; systemctl show -P ActiveState quick) $(journalctl --no-pager -u quick | grep -c Starting)"
"""
EXPECTED = {
    "enabled": "enabled active", "hidden": "125 1 ", "instances": "active inactive", "group": "active inactive",
    "user": "active enabled", "user-harden": "active", "unwritable": "125 1", "others": "active",
    # As supervisord: an early end is a failed start, which is tried twice more and then no more.
    "early": "failed 3",
}


def run(suites):
    wrong = refusals()
    yield f"{len(REFUSALS)} command lines are refused in one line with 125, or taken", not wrong, "\n".join(wrong)
    place = support.workplace()
    try:
        for title, holds in files(place):
            yield title, holds, ""
    finally:
        support.remove(place)
    for suite in suites:
        status, output = support.boot(suite, SCRIPT, [":".join(bind) for bind in support.cgrun_binds()])
        seen = dict(line[7:].partition(" ")[::2] for line in output.splitlines() if line.startswith("RESULT "))
        for key, value in EXPECTED.items():
            yield f"{suite}: {key}", seen.get(key, "").strip() == value.strip(), f"{seen.get(key)!r}, expected {value!r}\n{output[-1500:]}"
