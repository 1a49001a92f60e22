"""Waiting for what rings no bell, with a deadline."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def eventually(true: Callable[[], object], seconds: float = 10.0, step: float = 0.005) -> bool:
    """Whether `true()` comes to hold within `seconds`; looks every `step` seconds.

    For what no event tells of, such as a file that goes away.  Use it as
    `assert eventually(lambda: not path.exists())`.
    """
    end = monotonic() + seconds
    while not true():
        if monotonic() >= end:
            return False
        sleep(step)
    return True
