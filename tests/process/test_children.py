"""Children: every kind of child runs what it registered, once, in order, and nothing else."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import lastout
import pytest
from support.lives import Lives

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Ended, Program

    Start = Callable[..., Program]

PROGRAMS = Path(__file__).parents[1] / "programs"
IMPORTED_FROM = Path(lastout.__file__).parents[1]

PACKAGES = ("multiprocessing", "multiprocess")
METHODS = ("fork", "forkserver", "spawn")
PROCESSES = [
    f"{package}:{method}"
    for package in PACKAGES
    for method in ("fork", "forkserver", "forkserver+preload", "spawn")
]
POOLS = [f"{package}:{method}:Pool" for package in PACKAGES for method in METHODS]
EXECUTORS = [f"multiprocessing:{method}:ProcessPoolExecutor" for method in METHODS]
EXECUTORS += ["loky", "loky:reusable", "joblib"]
PLAIN = ["os.fork", "subprocess"]
KINDS = PLAIN + PROCESSES + POOLS + EXECUTORS

ORDERS = ("lastout first", "package first")


def packages_of(kinds: list[str]) -> str:
    """The package of the first kind: the others are imported only in the children."""
    package = kinds[0].split(":")[0]
    return "" if package in PLAIN else package


@pytest.fixture
def family(program: Start) -> Callable[..., tuple[Program, Callable[[], tuple[Ended, Lives]]]]:
    """Start a main script that can import `tests/programs`; gives it, and how to see its lives."""

    def start(script: str, *args: object) -> tuple[Program, Callable[[], tuple[Ended, Lives]]]:
        paths = os.pathsep.join((str(PROGRAMS), str(IMPORTED_FROM)))
        text = (PROGRAMS / f"{script}.py").read_text()
        child = program(text, args=[json.dumps(args)], env={"PYTHONPATH": paths})

        def ended() -> tuple[Ended, Lives]:
            end = child.end()
            return end, Lives(child.lines)

        return child, ended

    return start


def lives_of(family, kinds: list[str], ending: str = "return", order: str = ORDERS[0]) -> Lives:
    """Run a family to its end; it must end well and every process as `lastout` promises."""
    child, ended = family("driver", kinds, ending, order, packages_of(kinds))
    if ending == "SIGINT":
        child.wait_for("ready")
        last = f"lived {len(kinds)} "
        os.kill(next(int(line.split()[2]) for line in child.lines if line.startswith(last)), signal.SIGINT)
    end, lives = ended()
    assert end.status == 0, end.err
    if ending in ("return", "sys.exit(3)"):
        assert end.err == ""
    assert [len(lives.of(str(generation))) for generation in range(len(kinds) + 1)] == [1] * (
        len(kinds) + 1
    ), lives
    lives.check_all_ran_what_they_registered()
    return lives


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_child_runs_its_own_handlers(family, kind: str, order: str) -> None:
    """A child runs its own handlers once, last in first out; the parent's run in the parent only."""
    lives = lives_of(family, [kind], order=order)
    assert set(lives.statuses.get(1, ["0"])) == {"0"}
