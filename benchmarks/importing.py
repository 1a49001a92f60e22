"""Importing: what `import lastout` adds to the start of an interpreter, and what it loads.

And what `lastout.register` and `lastout.Scope` add, which are loaded on first use: how much is
seen by the ratio.

Processor time of the whole process, not the time of the clock: a start takes
10 ms, and on a machine that does other things too the clock is off by more
than what is looked for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import lastout

from .measure import Line, medians

if TYPE_CHECKING:
    from collections.abc import Iterator

BUDGET = 2e-3
RIVALS = ("filelock", "multiprocessing.util", "weakref")
SLOW = ("dataclasses", "filelock", "logging", "multiprocessing", "typing")


def lines(quick: bool) -> Iterator[Line]:
    """The seconds over a bare interpreter, ours and the rivals'."""
    names = ("lastout", *RIVALS)
    cases = {name: partial(start, f"import {name}") for name in names}
    cases["register"] = partial(start, "import lastout; lastout.register")
    cases["Scope"] = partial(start, "import lastout; lastout.Scope")
    took = medians({"bare": lambda: start("pass"), **cases}, 5 if quick else 100)
    for rival in RIVALS:
        most = BUDGET if rival == RIVALS[0] else None
        ours, its = took["lastout"] - took["bare"], took[rival] - took["bare"]
        yield Line("import, over a bare interpreter", ours, f"import {rival}", its, most=most)
    yield Line("start, with lastout imported", took["lastout"], "a bare interpreter", took["bare"])
    for name in ("register", "Scope"):
        what = f"start, with lastout.{name} loaded"
        yield Line(what, took[name], "a bare interpreter", took["bare"])
    loaded = slow_modules()
    if loaded:
        raise AssertionError(f"import lastout loads {', '.join(loaded)}")


def start(statement: str) -> float:
    """Seconds of processor time that a process takes to start, do this, and end."""
    process = subprocess.Popen([sys.executable, "-I", "-c", _with_path(statement)])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{statement!r} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def slow_modules() -> list[str]:
    """Which of the modules that load slowly `import lastout` loads."""
    ask = _with_path("import lastout; print(*sys.modules)")
    command = [sys.executable, "-I", "-S", "-c", ask]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(set(SLOW) & set(out.split()))


def _with_path(statement: str) -> str:
    return f"import sys; sys.path.append({str(Path(lastout.__path__[0]).parent)!r}); {statement}"
