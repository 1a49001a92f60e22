"""Waiting for what rings no bell, with a deadline."""

from __future__ import annotations

from pathlib import Path
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


def is_running(pid: int) -> bool:
    """Whether there is such a process, not dead yet.

    One that ends between the opening of its file and the reading gives "No such process".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] not in b"ZX"
