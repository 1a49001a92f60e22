"""Ends of processes by descriptors (pidfds): waiting for an end, and asking for it.

A pidfd belongs to one process for good, so these functions never reach a later process with
the same pid.  `pids.open_pidfd` opens a pidfd.

Tested by: tests/test_process_ends.py
"""

from __future__ import annotations

import os
import signal
from time import monotonic

from . import pids
from .genuine import UnpatchedModule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

select = UnpatchedModule("select")


def hold_if(pid: int, is_meant: Callable[[], bool]) -> int | None:
    """A pidfd of a process; `None` if it has ended, or its pid was reused.

    Args:
        pid: the pid of the process.
        is_meant: whether the pid now belongs to the process that was meant.

    Raises:
        OSError: no descriptors are left, or the system forbids it.
    """
    try:
        held = pids.open_pidfd(pid)
    except ProcessLookupError:
        return None
    found = False
    try:
        # Only now, because from now on the pidfd means one process, whatever becomes of its pid.
        found = not has_ended(held) and is_meant()
    finally:
        if not found:
            os.close(held)
    return held if found else None


def wait_for_an_end(held: Iterable[int], seconds: float | None) -> set[int]:
    """Wait until one of these processes has ended; returns the pidfds of ended processes.

    Args:
        held: their pidfds; if empty, only the time passes.
        seconds: how long at most; `None` for no limit.
    """
    poll = select.poll()
    for descriptor in held:
        poll.register(descriptor, select.POLLIN)
    # Rounded up: a look that is too early would be repeated without a pause.  `math` is not
    # loaded for that, as each `import lastout` would do so.
    milliseconds = None if seconds is None else -int(-seconds * 1000 // 1)
    return {ended for ended, _ in poll.poll(milliseconds)}


def wait_for_ends(held: Iterable[int], seconds: float | None) -> bool:
    """Wait until all of these processes have ended; returns whether they have.

    Args:
        held: their pidfds.
        seconds: how long at most; `None` for no limit.
    """
    left, began = set(held), monotonic()
    pause = seconds
    while left:
        left -= wait_for_an_end(left, pause)
        if left and seconds is not None:
            pause = began + seconds - monotonic()
            if pause <= 0:
                return False
    return True


def has_ended(held: int) -> bool:
    """Whether the process of a pidfd has ended, waited for or not."""
    return wait_for_ends([held], 0)


def wait_for_child(pid: int, seconds: float | None) -> bool:
    """Wait until a child has ended, without the pauses of `Popen.wait`; returns whether it has."""
    try:
        held = pids.open_pidfd(pid)
    except ProcessLookupError:
        return True  # gevent's loop has waited for it, or SIGCHLD is ignored
    try:
        return wait_for_ends([held], seconds)
    finally:
        os.close(held)


def ask_to_end(held: int, pid: int) -> None:
    """Send SIGTERM, unless the process unwinds already: a second one would cut off its handlers.

    Args:
        held: a pidfd of the process.
        pid: the pid of the process.
    """
    if not pids.unwinds(pid):
        send(held, signal.SIGTERM)
    send(held, signal.SIGCONT)  # because a stopped process handles no SIGTERM


def send(held: int, signum: int) -> None:
    """Send a signal to a process that may have ended, or be another user's by now."""
    try:
        pids.signal_held(held, signum)
    except (ProcessLookupError, PermissionError):
        return  # the wait for its end tells whether it has ended
