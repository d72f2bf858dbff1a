"""Runs recipes, and compares what `cgrun stress` has seen with what is known of these programs.

    check.py [--all] [--output DIRECTORY] [--readme] [RECIPE…]

Start it by ./run, which installs what the recipes need.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from known import RECIPES, Recipe

HERE = Path(__file__).resolve().parent
#: For anything that has to happen: far above what a loaded machine needs.
PATIENCE_SECONDS = 20.0


def free_port(taken: set[int]) -> int:
    """One that nobody listens on, and that the kernel gives to no client while a server restarts."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # Another run beside this one must not come to the same.
    for port in random.sample(range(min(10_000, first // 2), first), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in taken:
                probe.bind(("127.0.0.1", port))
                taken.add(port)
                return port
    raise RuntimeError("no free port")


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The address of a Redis without a port or a file; being a job of cgrun's, it dies with us."""
    # One program under several names; redis-check-rdb comes without the system service.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    named, path, log = folder / "redis-server", folder / "redis.sock", folder / "redis.log"
    named.symlink_to(program or "redis-server")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [os.environ["CGRUN"], "--quiet", "--",
             named, "--port", "0", "--unixsocket", path, "--save", ""],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
                client.connect(str(path))
                client.sendall(b"PING\r\n")
                if client.recv(100).startswith(b"+PONG"):
                    break
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no answer from Redis: {log.read_text()}")
            time.sleep(0.02)
        yield f"redis+socket://{path}"
    finally:
        server.terminate()
        server.wait()


class Account:
    """What was as expected, and what was not."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def add(self, good: bool, text: str) -> None:
        """Counts an observation, and tells of it."""
        self.passed += good
        self.failed += not good
        print("ok   " if good else "FAIL ", text, flush=True)

    def compare(self, name: str, known: Recipe, scenario: dict[str, Any]) -> None:
        """Both sides of one scenario, as far as they were tried."""
        number = scenario["scenario"]
        for side in ("bare", "cgrun"):
            seen = scenario[side]
            if seen is None:
                continue
            text = f"{name} {number} {scenario['name']}, {side}: "
            text += f"{seen['outcome']}: {seen['detail']}"
            wanted = known.outcomes(number, side)
            if seen["outcome"] not in wanted:
                text += f" — expected: {' or '.join(sorted(wanted))}"
            missing = frozenset[str]()
            if side == "bare":
                missing = known.left.get(number, frozenset())
                missing -= {process["name"] for process in seen["left"]}
            if missing:
                text += f" — should be left, too: {', '.join(sorted(missing))}"
            self.add(seen["outcome"] in wanted and not missing, text)


def for_readme(name: str, markdown: str) -> str:
    """The verdict and the table, without what only this machine has."""
    text = markdown.split("\n| failed |")[0].rstrip()
    last = markdown.rstrip().splitlines()[-1]
    if last not in text:
        text += f"\n\n{last}"
    text = re.sub(r"(Linux \d+\.\d+)[^,]*", r"\1", text)
    return f"### {name}\n\n{text}\n"


def put_into_readme(results: dict[str, str]) -> None:
    """Replaces the results of these recipes."""
    readme = HERE / "README.md"
    text = readme.read_text()
    for name, result in results.items():
        parts = re.split(rf"^### {name}\n.*?(?=\n##|\Z)", text, flags=re.DOTALL | re.MULTILINE)
        if len(parts) != 2:
            raise RuntimeError(f"README.md has {len(parts) - 1} sections with the name {name}")
        text = result.join(parts)
    readme.write_text(text)


def try_recipe(name: str, arguments: list[str], folder: Path, account: Account) -> str:
    """Has `cgrun stress` try the recipe; returns what it says in Markdown."""
    known, result, table = RECIPES[name], folder / f"{name}.json", folder / f"{name}.md"
    command = [str(HERE / "recipes" / name), "--patience", f"{PATIENCE_SECONDS:.0f}s", *arguments,
               "--json", str(result), "--markdown", str(table)]
    for path in (result, table):
        path.unlink(missing_ok=True)
    begin = time.monotonic()
    with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True) as stress:
        try:
            output, _ = stress.communicate()
        finally:
            # If this program is stopped. What gets a SIGTERM removes its files.
            stress.terminate()
    seconds = time.monotonic() - begin
    before = account.failed
    try:
        scenarios = json.loads(result.read_text())["scenarios"]
    except (OSError, ValueError, KeyError):
        account.add(False, f"{name}: no result, exit status {stress.returncode}")
        scenarios = []
    for scenario in scenarios:
        account.compare(name, known, scenario)
    if scenarios:
        wanted = int(any(scenario["cgrun"]["outcome"] == "failed" for scenario in scenarios))
        account.add(stress.returncode == wanted,
                    f"{name}: exit status {stress.returncode}, after {seconds:.0f} s")
    if account.failed > before:
        print(output)
    return table.read_text() if scenarios else ""


def main() -> int:
    """Runs the recipes; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Kill real programs at bad moments, bare and under cgrun.")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--all", action="store_true", help="all recipes (or those named), in full")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY",
                        help="keep RECIPE.json and RECIPE.md there")
    parser.add_argument("--readme", action="store_true",
                        help="put the tables into README.md (with --all)")
    parser.add_argument("--list", action="store_true",
                        help="name what would run, and run nothing")
    options = parser.parse_args()
    unknown = set(options.recipes) - RECIPES.keys()
    if unknown:
        parser.error(f"no recipe {', '.join(sorted(unknown))}: there are {', '.join(RECIPES)}")
    names = options.recipes or [
        name for name, recipe in RECIPES.items() if options.all or recipe.in_short]
    if options.readme and not options.all:
        parser.error("--readme is for results in full: give --all, too")
    if options.list:
        print(*names)
        return 0

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    account, ports, tables = Account(), set[int](), dict[str, str]()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cgrun-stress-"))
        if "celery" in names:
            os.environ["REDIS_URL"] = stack.enter_context(redis_server(Path(folder)))
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.environ["PORT"] = str(free_port(ports))
            arguments = [] if options.all else ["--only", RECIPES[name].short]
            results = options.output or Path(folder)
            table = try_recipe(name, arguments, results.resolve(), account)
            if table:
                tables[name] = for_readme(name, table)
    if options.readme:
        put_into_readme(tables)
    print(f"{account.passed} passed, {account.failed} failed")
    return int(account.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
