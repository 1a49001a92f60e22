"""The ends of processes that a descriptor (pidfd) holds: waiting for them, and asking for them.

A descriptor is of one process for good, so none of this can mean another one that was
given the same number.  `pids.open_pidfd` makes one.

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
    """A descriptor of a process; `None` if it has ended, or its number is another one's by now.

    Args:
        pid: its number.
        is_meant: whether whoever has that number now is the process that was meant.

    Raises:
        OSError: there are no descriptors left, or the system forbids it.
    """
    try:
        held = pids.open_pidfd(pid)
    except ProcessLookupError:
        return None
    found = False
    try:
        # Only now, while its number cannot become another one's unseen.
        found = not has_ended(held) and is_meant()
    finally:
        if not found:
            os.close(held)
    return held if found else None


def wait_for_an_end(held: Iterable[int], seconds: float | None) -> set[int]:
    """Wait until one of these processes has ended; the descriptors of those that have.

    Args:
        held: their descriptors; without any, only the time passes.
        seconds: how long at most; `None` for as long as it takes.
    """
    poll = select.poll()
    for descriptor in held:
        poll.register(descriptor, select.POLLIN)
    # Rounded up: a look that is too early would be repeated without a pause.  `math` is not
    # loaded for that, as each `import lastout` would do so.
    milliseconds = None if seconds is None else -int(-seconds * 1000 // 1)
    return {ended for ended, _ in poll.poll(milliseconds)}


def wait_for_ends(held: Iterable[int], seconds: float | None) -> bool:
    """Wait until all of these processes have ended; whether they have.

    Args:
        held: their descriptors.
        seconds: how long at most; `None` for as long as it takes.
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
    """Whether the process that a descriptor holds has ended, waited for or not."""
    return wait_for_ends([held], 0)


def wait_for_child(pid: int, seconds: float | None) -> bool:
    """Wait until a child has ended; whether it has.  `Popen.wait` only looks now and then."""
    try:
        held = pids.open_pidfd(pid)
    except ProcessLookupError:
        return True  # somebody has waited for it: gevent's loop, or SIGCHLD is ignored
    try:
        return wait_for_ends([held], seconds)
    finally:
        os.close(held)


def ask_to_end(held: int, pid: int) -> None:
    """Send SIGTERM, but not to one that ends by a signal already: that would cut its handlers off.

    Args:
        held: a descriptor of the process.
        pid: its number.
    """
    if not pids.unwinds(pid):
        send(held, signal.SIGTERM)
    send(held, signal.SIGCONT)  # one that is stopped would not hear it


def send(held: int, signum: int) -> None:
    """Send a signal to a process that may have ended, or be another user's by now."""
    try:
        pids.signal_held(held, signum)
    except (ProcessLookupError, PermissionError):
        return  # whoever waits for its end sees whether it came
