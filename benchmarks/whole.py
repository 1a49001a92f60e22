"""Whole programs: how long a pool takes to start and to end, with lastout and without.

Each program says when its pool has done a first task, and when it begins to
end, by the clock that all processes share.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from .measure import Line, Median
from .places import directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKERS = 4
BUDGET = 1.10  # for `handle_signals` in each worker
PROGRAM = """
import multiprocessing, sys, time
{imports}

def nothing():
    pass

def job(_):
    {job}

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    {begin}
    pool = context.Pool({workers}, {initializer})
    pool.map(job, range({workers} * 4), chunksize=1)
    started = time.monotonic()
    pool.close()
    pool.join()
    {end}
    print(started)
"""

WITHOUT, MULTIEXIT = "a pool without", "a pool with multiexit"
SIGNALS = "a pool with lastout and signals"
CASES = {
    WITHOUT: {},
    "a pool with atexit": {"imports": "import atexit", "job": "atexit.register(nothing)"},
    "a pool with lastout imported": {"imports": "import lastout"},
    "a pool with lastout": {"imports": "import lastout", "job": "lastout.register(nothing)"},
    SIGNALS: {
        "imports": "import lastout",
        "job": "lastout.register(nothing)",
        "initializer": "lastout.handle_signals",
    },
    "a pool in a scope": {
        "imports": "import lastout",
        "begin": "scope = lastout.Scope(root=sys.argv[1])",
        "job": "lastout.current_scope().directory(lifetime='member')",
        "initializer": "scope.worker",
        "end": "scope.leave()",
    },
    MULTIEXIT: {
        "imports": "import multiexit",
        "begin": "multiexit.install()",
        "job": "multiexit.register(nothing)",
    },
}
PLAIN = {"imports": "", "job": "pass", "begin": "", "initializer": "", "end": ""}


class Took(NamedTuple):
    """Seconds of one run: until all workers had worked, from there to the end, both; and of work.

    The last are those of all its processes, on whichever processor: they depend less on what
    else the machine does.
    """

    start: float
    end: float
    whole: float
    processor: float


def lines(quick: bool) -> Iterator[Line]:
    """The same program with each of them, by each start method, beside one without any."""
    rounds = 1 if quick else 11
    for method in ("fork", "spawn"):
        names = [name for name in CASES if name != MULTIEXIT or _runs_multiexit(method)]
        runs: dict[str, list[Took]] = {name: [] for name in names}
        for number in range(rounds + 1):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                with directory() as place:
                    took = run(name, method, place)
                if number:  # the first round does not count
                    runs[name].append(took)
        medians = {name: partial(_median, runs[name]) for name in names}
        for name in names:
            if name != WITHOUT:
                for part in Took._fields:
                    ours, its = medians[name](part), medians[WITHOUT](part)
                    budget = BUDGET if (name, method, part) == (SIGNALS, "fork", "whole") else None
                    yield Line(f"{name}, {method}: {part}", ours, WITHOUT, its, budget)


def _runs_multiexit(method: str) -> bool:
    """It has to be installed, and a spawned worker has not got its signal handler."""
    return method == "fork" and find_spec("multiexit") is not None


def run(name: str, method: str, place: Path) -> Took:
    """Run the program once."""
    script = place / "program.py"
    script.write_text(PROGRAM.format(**{**PLAIN, **CASES[name]}, method=method, workers=WORKERS))
    # As where it is used, what it loads is compiled by then: in the round that does not count.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, str(script), str(place / "root")]
    used, began = _processor(), time.monotonic()
    program = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=env
    )
    ended = time.monotonic()
    started = float(program.stdout)
    return Took(started - began, ended - started, ended - began, _processor() - used)


def _processor() -> float:
    """Seconds of processor time that our children have used, with theirs, once they have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _median(runs: list[Took], part: str) -> Median:
    return Median.of([getattr(took, part) for took in runs])
