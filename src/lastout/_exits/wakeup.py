"""Wakeup descriptor: where CPython's C signal handler writes a byte for each signal.

A process has one wakeup descriptor, and event loops such as asyncio's and trio's set their
own while they run.  lastout lends its place: meanwhile `signal.set_wakeup_fd` is a function
of lastout, which hides the descriptor of lastout, lets a loop set another, and sets its own
again when the loop gives up.

    set_wakeup_fd(theirs) -> -1      the loop gets the bytes
    set_wakeup_fd(-1) -> theirs      lastout gets the bytes again

A loop that calls the C function, or kept a reference to the original, gets the bytes too;
lastout takes them again at the next handled signal.

Tested by: tests/process/test_signals_others.py, tests/process/test_signals_setup.py
"""

from __future__ import annotations

import signal

from .._platform.masks import AllBlocked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NOBODY: Final = -1

_set: Final = signal.set_wakeup_fd
_ours = NOBODY


def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
    """Like `signal.set_wakeup_fd`, but hides the descriptor of lastout from the caller."""
    if fd == NOBODY and _ours != NOBODY:
        owner = _set(_ours, warn_on_full_buffer=False)
    else:
        owner = _set(fd, warn_on_full_buffer=warn_on_full_buffer)
    return NOBODY if owner == _ours else owner


def take(fd: int) -> None:
    """Have the bytes written to `fd` from now on, except while a loop wants them."""
    global _ours
    _ours = fd
    if signal.set_wakeup_fd is _set:
        signal.set_wakeup_fd = set_wakeup_fd
    take_again()


def take_again() -> None:
    """Have the bytes again, unless a loop has them now."""
    # Blocked, because the byte of a signal in between would not reach the loop that owns it.
    with AllBlocked():
        owner = _set(_ours, warn_on_full_buffer=False)
        if owner not in (NOBODY, _ours):
            _set(owner, warn_on_full_buffer=False)


def give_up() -> None:
    """Give the descriptor up for good."""
    global _ours
    ours, _ours = _ours, NOBODY
    if signal.set_wakeup_fd is set_wakeup_fd:
        signal.set_wakeup_fd = _set
    owner = _set(NOBODY)
    if owner not in (NOBODY, ours):  # a loop has it at the moment
        _set(owner, warn_on_full_buffer=False)
