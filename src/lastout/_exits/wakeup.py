"""Wakeup descriptor: where CPython's C signal handler writes a byte for each signal.

A process has one, and asyncio, trio and others set theirs while they run.  Ours is
lent: while it is in place `signal.set_wakeup_fd` is a function of ours, which says that
nobody has it, gives it to whoever asks, and takes it again when they give it up.

    set_wakeup_fd(theirs) -> -1      the bytes are theirs
    set_wakeup_fd(-1) -> theirs      the bytes are ours again

A loop that set its own in C, or by a name that it took before, gets it as well; it is
ours again with the next handled signal.
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
    """As `signal.set_wakeup_fd`; to others it looks as if ours were not there."""
    if fd == NOBODY and _ours != NOBODY:
        owner = _set(_ours, warn_on_full_buffer=False)
    else:
        owner = _set(fd, warn_on_full_buffer=warn_on_full_buffer)
    return NOBODY if owner == _ours else owner


def take(fd: int) -> None:
    """Have the bytes written to `fd` from now on, whenever nobody else wants them."""
    global _ours
    _ours = fd
    if signal.set_wakeup_fd is _set:
        signal.set_wakeup_fd = set_wakeup_fd
    take_again()


def take_again() -> None:
    """Have the bytes if nobody else has them now."""
    # No signal in between: its byte would reach us and not the owner.
    with AllBlocked():
        owner = _set(_ours, warn_on_full_buffer=False)
        if owner not in (NOBODY, _ours):
            _set(owner, warn_on_full_buffer=False)


def give_up() -> None:
    """Leave it to others for good."""
    global _ours
    ours, _ours = _ours, NOBODY
    if signal.set_wakeup_fd is set_wakeup_fd:
        signal.set_wakeup_fd = _set
    owner = _set(NOBODY)
    if owner not in (NOBODY, ours):  # somebody has it at the moment
        _set(owner, warn_on_full_buffer=False)
