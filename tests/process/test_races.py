"""Eight threads register, remove, count, unwind and fork; `nox -s stress` does it for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from programs.stack_races import wrong
from support.races import hammer

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


def test_eight_threads_at_once(program: Callable[..., Program]) -> None:
    """Each handler runs once, unless it was removed, and last in first out for each thread."""
    hammer(program, "stack_races", 1.0, seed=1)


A, B = ("in", 1, 1), ("in", 1, 2)


def ran(number: int) -> list[tuple[str, int, int]]:
    return [("run", 1, number), ("end", 1, number)]


def test_the_judge_sees_nothing_where_nothing_is() -> None:
    """Races in which all went well are not accused of anything."""
    assert wrong([A, B, *ran(2), *ran(1)]) == []
    # One that was registered while the other was being chosen.
    assert wrong([A, ("run", 1, 1), B, ("end", 1, 1), *ran(2)]) == []
    # It ran before the thread that registered it could say so.
    assert wrong([*ran(1), A]) == []
    # Removed, whether it was running already or not; or forgotten.
    assert wrong([A, ("out", 1, 1), *ran(1)]) == []
    assert wrong([A, B, ("out", 1, 1), *ran(2)]) == []
    assert wrong([A, B, *ran(2)], cleared=True) == []


def test_the_judge_sees_what_is_wrong() -> None:
    """One that is lost, one that runs twice and one that runs too early are seen."""
    assert wrong([A, B, *ran(2)]) == ["(1, 1) is lost"]
    assert wrong([A, *ran(1), *ran(1)]) == ["(1, 1) ran 2 times"]
    before = [("in", 2, 1), ("run", 2, 1), ("end", 2, 1)]
    assert wrong([A, B, *before, *ran(1), *ran(2)]) == ["(1, 1) ran before [2]"]
