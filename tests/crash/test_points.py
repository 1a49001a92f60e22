"""Every system call of every step: killed, torn, failed; nothing is lost, nobody loses anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOMS = ("join", "fork", "make", "release", "keep", "look", "leave", "reap", "remove", "guardian")


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("room", ROOMS)
def test_every_call(explore: Callable[[str, Sequence[str]], list[str]], room: str) -> None:
    """Whatever is done to a step at whichever call, the next reap finds everything, and no more."""
    steps = [name for name in STEPS if name.startswith(room)]
    assert explore("crash.explore", steps) == []


def test_no_step_is_left_out() -> None:
    """Each step is in exactly one of the tests."""
    rooms = [[room for room in ROOMS if name.startswith(room)] for name in STEPS]
    assert [len(found) for found in rooms] == [1] * len(STEPS)
