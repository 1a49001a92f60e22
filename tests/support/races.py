"""Races: a program of eight threads in a process of its own, with an end that it must come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .program import Program

PROGRAMS = Path(__file__).parents[1] / "programs"


def hammer(program: Callable[..., Program], name: str, seconds: float, seed: int) -> str:
    """Run one of `tests/programs` for that long; what it says at its end.

    Raises:
        AssertionError: something was wrong in it, or it came to no end.
    """
    child = program((PROGRAMS / f"{name}.py").read_text(), args=[str(seconds), str(seed)])
    ended = child.end(seconds + 100)
    assert ended.status == 0, ended.out + ended.err
    assert ended.err == "", ended.err[-2000:]
    return ended.out.strip()
