"""What the tests of units under a real systemd share."""
import os
import random
import shutil
import struct
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FIXTURES = os.path.join(ROOT, "Tests", "SystemdUnitsTests", "Fixtures")
SUITES = ("trixie", "bookworm")


def cgrun_path():
    return os.environ.get("CGRUN") or os.path.join(ROOT, ".build", "debug", "cgrun")


def cgrun(*arguments, env=None, check=True):
    """Runs `cgrun unit …`; gives stdout as text."""
    result = subprocess.run([cgrun_path(), "unit", *arguments], capture_output=True, env=env)
    if check and result.returncode != 0:
        raise AssertionError(f"cgrun unit {arguments[:6]!r}: {result.returncode} {result.stderr.decode()}")
    return result.stdout.decode() if check else result


def rootfs(suite):
    return subprocess.run([os.path.join(ROOT, "Tests/Rigs/rootfs"), suite], check=True, capture_output=True,
                          text=True).stdout.strip()


def cached(name, make):
    """A directory in the cache of the rigs; where it is missing, `make(path)` fills it."""
    cache = os.environ.get("CGRUN_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cgrun")
    target = os.path.join(cache, name)
    if not os.path.isdir(target):
        os.makedirs(cache, exist_ok=True)
        part = tempfile.mkdtemp(prefix=name + ".", suffix=".part", dir=cache)
        try:
            make(part)
            os.chmod(part, 0o755)
            if not os.path.isdir(target):
                os.rename(part, target)
        finally:
            remove(part)
    return target


def workplace():
    """A directory that every user in the guest can enter."""
    path = tempfile.mkdtemp(prefix="cgrun-units-")
    os.chmod(path, 0o755)
    return path


def build_recorder(directory):
    """The program that writes down how it was started."""
    path = os.path.join(directory, "record")
    subprocess.run(["cc", "-O1", "-static", "-o", path, os.path.join(HERE, "record.c")], check=True)
    return path


def boot(suite, script, binds, timeout=600):
    """Runs a bash script as root under a real systemd; gives (status, output)."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as file:
        file.write("set -u\n" + script)
    os.chmod(file.name, 0o755)
    try:
        command = ["nice", os.path.join(ROOT, "Tests/Rigs/systemd"), "--timeout", str(timeout)]
        for bind in [f"{file.name}:/run/test.sh"] + binds:
            command += ["--bind", bind]
        result = subprocess.run(command + [suite, "bash", "/run/test.sh"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return result.returncode, result.stdout.decode(errors="replace")
    finally:
        os.unlink(file.name)


def in_tree(suite, script, binds=()):
    """Runs a bash script in a chroot of the suite, over which nothing of it stays; for offline tools."""
    lines = ["set -eu", "base=$(mktemp -d)", "mount -t tmpfs tmp $base", "mkdir $base/up $base/work $base/root",
             f"mount -t overlay -o lowerdir={rootfs(suite)},upperdir=$base/up,workdir=$base/work o $base/root",
             "mount -t proc proc $base/root/proc", "mount --bind /dev $base/root/dev"]
    for host, guest in binds:
        make = f"mkdir -p $base/root{guest}" if os.path.isdir(host) else f"touch $base/root{guest}"
        lines += [make, f"mount --bind {host} $base/root{guest}"]
    lines += ["chroot $base/root bash -eu /dev/fd/3 && code=0 || code=$?", "cd /", "umount -R $base", "rmdir $base",
              "exit $code"]
    reader, writer = os.pipe()
    with tempfile.TemporaryFile("w+") as file:
        file.write(script)
        file.flush()
        file.seek(0)
        os.close(reader)
        os.close(writer)
        descriptor = file.fileno()
        result = subprocess.run(
            ["unshare", "--mount", "bash", "-c", f"exec 3<&{descriptor}\n" + "\n".join(lines)],
            pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.returncode, result.stdout.decode(errors="replace")


def read_records(path):
    """What `record` wrote: a list of (arguments, environment, facts)."""
    with open(path, "rb") as file:
        data = file.read()
    place = 0

    def number():
        nonlocal place
        value = struct.unpack_from("=I", data, place)[0]
        place += 4
        return value

    def text():
        nonlocal place
        size = number()
        place += size
        return data[place - size:place]

    records = []
    while place < len(data):
        arguments = [text() for _ in range(number())]
        environment = [text() for _ in range(number())]
        records.append((arguments, environment, text().decode(errors="replace")))
    return records


SPECIAL = [b'"', b"'", b"\\", b"%", b"$", b";", b"#", b"\n", b"\t", b"\r", b" ", b"%%", b"$$", b"${HOME}", b"%n", b"%i",
           b"\\n", b"\\x41", b"\\", b"\x01", b"\x1b", b"\x7f", b"\x80", b"\xff", b"\xc3\xa9", b"\xc2\x80", b"\xef\xbf\xbe",
           b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xef\xbb\xbf", b"$(x)", b"`x`", b"|", b"&", b"<", b">",
           b"*", b"?", b"[", b"]", b"{", b"}", b"~", b"=", b":", b"@", b"-", b"+", b"!", b"--", b"\\\n", b"\v", b"\f"]


def random_bytes(generator, longest=40):
    """Mostly what quoting goes wrong on; now and then long."""
    kind = generator.random()
    if kind < 0.08:
        return b""
    if kind < 0.25:
        return bytes(generator.randrange(1, 256) for _ in range(generator.randrange(1, longest)))
    return b"".join(generator.choice(SPECIAL) if generator.random() < 0.6 else bytes([generator.randrange(32, 127)])
                    for _ in range(generator.randrange(1, longest)))


def long_bytes(generator, size=100_000):
    return bytes(generator.choice(b"ab\"\\%$ ;#\n\t\x01\x7f\xff") for _ in range(size))


def execstart(unit_text):
    """The line as the generator wrote it."""
    return next(line for line in unit_text.splitlines() if line.startswith("ExecStart="))


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


def generator(seed):
    return random.Random(seed)


def cgrun_binds():
    """cgrun for the guest, with the Swift libraries if it is not linked statically."""
    binds = [(cgrun_path(), "/usr/bin/cgrun")]
    linked = subprocess.run(["ldd", cgrun_path()], capture_output=True, text=True).stdout
    for line in linked.splitlines():
        if "libswiftCore.so => " in line:
            directory = os.path.dirname(line.split("=> ")[1].split(" ")[0])
            binds.append((directory, directory))
    return binds


# Makes a guest fit for a configuration: its comments say which programs, directories, users and variables it takes.
PREPARE = """
prepare() { # FILE PROGRAM
  local word rest name owner
  while read -r word rest; do
    owner=
    for name in $rest; do
      case $word in
        ';@user') id "$name" > /dev/null 2>&1 || useradd --create-home "$name" ;;
        ';@mkdir') mkdir -p "$name" ;;
        ';@own') if [ -z "$owner" ]; then owner=$name; else mkdir -p "$name" && chown "$owner" "$name"; fi ;;
        ';@install') mkdir -p "${name%/*}" && { [ -e "$name" ] || cp "$2" "$name"; } ;;
      esac
    done
  done < "$1"
  sed -n 's/^directory *= *//p' "$1" | while read -r name; do mkdir -p "$name"; done
}
lay_out() { # FILE — as name, conf and surroundings: what supervisord would be given
  name=$(basename "$1" .conf)
  conf=/etc/conf/$name/main.conf
  surroundings=(PATH="$PATH" ODD='od d%' HOME_OF_TEST=/h $(sed -n 's/^;@environment //p' "$1"))
  mkdir -p "/etc/conf/$name"
  # As distributions do it: programs in files that the main one includes.
  if grep -q '^\\[supervisord\\]' "$1"; then cp "$1" "$conf"; else
    cp "$1" "/etc/conf/$name/app.ini"
    printf '[supervisord]\\n[include]\\nfiles = *.ini\\n' > "$conf"
  fi
  [ ! -d "${1%.conf}.d" ] || cp "${1%.conf}.d"/* "/etc/conf/$name/"
}
"""
