"""Eight threads join, make, take back, fork and leave; `nox -s stress` does it for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.races import hammer

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


def test_eight_threads_at_once(program: Callable[..., Program]) -> None:
    """Nothing of a thread goes before it has left, and nothing is there when all have."""
    hammer(program, "scope_races", 2.0, seed=1)
