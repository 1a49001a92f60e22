"""Running spin on the model, and reading what it found."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

MODEL = Path(__file__).parents[1] / "model" / "scope.pml"
MISSING = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]


class Found(NamedTuple):
    """What a run came to.

    Attributes:
        states: how many different ones were seen.
        seconds: how long that took.
        complete: whether these are all there are.
        error: the assertion that was violated, or what else is wrong; empty if nothing is.
    """

    states: int
    seconds: float
    complete: bool
    error: str


def run(
    directory: Path, flags: str, megabytes: int = 4000, minutes: int = 60, *, optimize: str = "-O2"
) -> Found:
    """Go through all states of the model that `flags` choose, up to an error or a limit."""
    _call(directory, "spin", *flags.split(), "-a", str(MODEL))
    limits = ["-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", f"-DMEMLIM={megabytes}"]
    _call(directory, "gcc", optimize, *limits, "-w", "-o", "pan", "pan.c")
    done = subprocess.run(
        ["./pan", "-m100000", "-w26", f"-Q{minutes}"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60 * minutes + 60,
        check=False,
    )
    return read(done.stdout + done.stderr)


def read(printed: str) -> Found:
    """Understand what `pan` printed."""
    states = re.search(r"([\d.e+]+) states, stored", printed)
    errors = re.search(r"errors: (\d+)", printed)
    assert states, f"not a run of spin:\n{printed}"
    assert errors, f"not a run of spin:\n{printed}"
    took = re.search(r"elapsed time ([\d.e+-]+)", printed)
    error = ""
    if errors[1] != "0":
        first = re.search(r"^pan:1: (.*) \(at depth \d+\)$", printed, re.MULTILINE)
        error = first[1] if first else printed
    short = "Search not completed" in printed or "max search depth too small" in printed
    return Found(int(float(states[1])), float(took[1]) if took else 0.0, not short, error)


def _call(directory: Path, *command: str) -> None:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
