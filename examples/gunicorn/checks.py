"""Has gunicorn's workers end in each way, for real: checks.py [--all].

CGRUN and PROMTOOL say where those are. STACKS has a line for each set of versions: a virtual
environment, and how it calls the class of uvicorn's workers.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from endings import AS_NOBODY, ONCE, ROWS, life, requests_used_up


@dataclass(frozen=True)
class Stack:
    venv: str
    uvicorn: str

    @property
    def classes(self):
        return {"sync": "sync", "uvicorn": self.uvicorn}

    @property
    def interpreter(self):
        return os.path.realpath(f"{self.venv}/bin/python")

    @property
    def packages(self):
        return next(Path(self.venv).glob("lib/python*/site-packages"))

    @property
    def is_public(self):
        """Whether other users may run its Python, of which they have no copy."""
        directories = Path(self.interpreter).parents
        return all(directory.stat().st_mode & 0o001 for directory in directories)

    def __str__(self):
        return Path(self.venv).name


def alert_rules():
    subprocess.run(
        [os.environ["PROMTOOL"], "test", "rules", "alerts_test.yml"],
        cwd=Path(__file__).parent,
        check=True,
    )


def main():
    stacks = [Stack(*line.split()) for line in os.environ["STACKS"].splitlines()]
    every = [(stack, kind) for stack in stacks for kind in ("sync", "uvicorn")]
    checks = [(life, *pair) for pair in every]
    for place, check in enumerate(ONCE):
        # Quickly, with one pair each. What max_requests looks like depends on the class.
        some = every[1:3] if check is requests_used_up else [every[place % len(every)]]
        if "--all" in sys.argv:
            some = every
        checks += [(check, *pair) for pair in some if pair[0].is_public or check not in AS_NOBODY]
    checks.append((alert_rules,))
    failed = 0

    def run(check, *pair):
        start = time.monotonic()
        try:
            check(*pair)
            return f"ok    {name(check, pair)} ({time.monotonic() - start:.1f} s)", True
        except Exception as error:
            return f"FAIL  {name(check, pair)}: {type(error).__name__}: {error}", False

    def name(check, pair):
        return " ".join([check.__name__, *map(str, pair)])

    with ThreadPoolExecutor(6) as pool:
        for line, passed in pool.map(lambda check: run(*check), checks):
            print(line, flush=True)
            failed += not passed
    print("\n| what happens | versions | class | gunicorn's log | seed's hooks | this module |")
    print("|---|---|---|---|---|---|")
    for row in sorted(ROWS):
        print("| " + " | ".join(row) + " |")
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
