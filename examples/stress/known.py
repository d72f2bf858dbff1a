"""What is known of the programs: how they end bare, and that nothing is left under cgrun."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Needs controllers that a machine may lack, and a program that meets its limit in time.
LIMITS = frozenset({"7a", "7b"})
#: Not promised, and said so: cgrun and its guard killed at once.
BOTH_LOST = "6c"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


@dataclass(frozen=True)
class Recipe:
    """The scenarios are those of `cgrun stress`; what is not named may end in any way, bare."""

    #: Scenarios that fail bare.
    fail: frozenset[str]
    #: Scenarios that pass bare. They show that failures are not seen where there are none.
    hold: frozenset[str] = frozenset()
    #: Scenarios that cannot be tried, on either side.
    untried: frozenset[str] = frozenset()
    #: Scenarios that fail under cgrun, too.
    fail_contained: frozenset[str] = frozenset()
    #: Names of processes that are left, bare.
    left: dict[str, frozenset[str]] = field(default_factory=dict)
    #: The scenarios of the short form.
    short: str = "2,5a"
    #: Whether the recipe is run when none is named.
    in_short: bool = True

    def outcomes(self, scenario: str, side: str) -> frozenset[str]:
        """What may come of it."""
        if scenario in self.untried:
            return _set("not_tested")
        if scenario in LIMITS:
            return _set("failed not_tested" if side == "bare" else "passed not_tested")
        if side == "cgrun" and scenario in self.fail_contained:
            return _set("failed")
        if side == "cgrun":
            return _set("passed known_limit" if scenario == BOTH_LOST else "passed")
        if scenario in self.fail:
            return _set("failed")
        return _set("passed" if scenario in self.hold else "passed failed not_tested")


#: node calls its first thread so, and that is what ps shows.
NODE = "MainThread"

RECIPES = {
    # Ctrl-C reaches Celery, which waits for its tasks then, until the second one.
    "celery": Recipe(
        fail=_set("0 1a 1b 1c 2 3 5a 5c 6a 9 10"), untried=_set("5b 8"),
        fail_contained=_set("1b"), short="1a,2,5a,5c",
        left={"2": _set("script sh mubeng"), "5a": _set("script sh mubeng")}),
    "gunicorn": Recipe(
        fail=_set("0 1a 1b 2 3 5a 5b 5c 6a 10"), hold=_set("8 9"), short="2,5a,8",
        left={"2": _set("gunicorn psc sleep"), "5a": _set("psc sleep")}),
    "npm": Recipe(
        fail=_set("0 1a 1b 1c 2 3 5a 5b 5c 6a 8 10"), hold=_set("9"), short="1a,2,5a",
        left={"1a": _set("psc") | {NODE}, "2": _set("sh psc") | {NODE}, "5a": _set("psc sleep")}),
    "tool": Recipe(
        fail=_set("0 1a 2 3 6a 9 10"), untried=_set("5a 5b 5c 8"), short="1a,2",
        left={"1a": _set("sleep"), "2": _set("sleep")}),
    "uvicorn": Recipe(
        fail=_set("0 1a 1b 2 3 5a 5b 5c 6a 10"), hold=_set("9"), in_short=False,
        left={"2": _set("python psc"), "5a": _set("psc sleep")}),
    "render": Recipe(
        fail=_set("2 6a"), hold=_set("1a 1b"), untried=_set("8"), short="2", in_short=False,
        left={"2": _set("chromium ffmpeg")}),
}
