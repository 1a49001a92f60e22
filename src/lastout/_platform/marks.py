"""Marks: numbers that a process and all its descendants bear, even if they become daemons.

A mark is the soft value of a resource limit that limits nothing: RLIMIT_LOCKS, which Linux
has ignored since 2.4.25.  Children inherit it, `exec` keeps it, every process can read it,
and no step of becoming a daemon changes it: writing a title over the environment, replacing
the environment, closing all descriptors, starting a session, becoming another user.

Tested by: tests/shared/test_tokens.py, tests/shared/test_processes.py
"""

from __future__ import annotations

from contextlib import suppress

from .pids import read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_RLIMIT_LOCKS: Final = 10  # asm-generic/resource.h; the same on all machines
# Marks have 60 random bits below this bit: no program sets so high a limit for its own sake.
_FIRST: Final = 1 << 60
_LAST: Final = (_FIRST << 1) - 1
_NAME: Final = b"Max file locks"


def mark_for(number: int) -> int:
    """The mark that stands for a number of at most 60 bits."""
    return _FIRST | number


def put_mark(pid: int, mark: int) -> None:
    """Have the process `pid`, and processes that it starts from now on, bear a mark.

    Does nothing for another user's process, if the hard limit is lower, and in some sandboxes.
    """
    import resource

    with suppress(OSError, ValueError):
        _, hard = resource.prlimit(pid, _RLIMIT_LOCKS)
        resource.prlimit(pid, _RLIMIT_LOCKS, (mark, hard))


def take_mark_off() -> None:
    """Remove the mark of this process, if it has one."""
    import resource

    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(_RLIMIT_LOCKS)
        if _FIRST <= soft <= _LAST:
            resource.setrlimit(_RLIMIT_LOCKS, (hard, hard))


def mark_of(pid: int) -> int | None:
    """The mark of the process `pid`; `None` if it bears none, or has ended."""
    try:
        limits = read_all(f"/proc/{pid}/limits")
    except OSError:
        return None
    soft = limits.partition(_NAME)[2].split(None, 1)[:1]
    mark = int(soft[0]) if soft and soft[0].isdigit() else 0
    return mark if _FIRST <= mark <= _LAST else None
