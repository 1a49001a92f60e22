"""The locks of a scope: waiting for one, taking a further one, giving it up.

    scope.lock      held while somebody joins, leaves, looks or decides: for moments
    cleaner.lock    held by whoever cleans, also while it has let go of the scope
    orphans.lock    held by whoever ends the scope's orphans

The two others are taken while the scope is held, so no two that want one meet.
"""

from __future__ import annotations

__lazy_modules__ = ["filelock"]  # from 3.15: loaded for the first lock

import fcntl
import os
from contextlib import suppress

from filelock import lock_descriptor, unlock_descriptor

from .._platform.genuine import UnpatchedModule
from ..errors import ScopeBusy
from ..layout import SCOPE_LOCK
from .descriptors import PrivateDescriptor
from .root import check_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..deadline import Deadline

time = UnpatchedModule("time")

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.01


class FileLock:
    """A lock that was taken, until it is given up; see `Lock`."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: PrivateDescriptor) -> None:
        self._descriptor = descriptor

    def give_up(self) -> None:
        """Free it, whoever has it open: a program that is being started may, for a moment."""
        with suppress(OSError):  # it is freed by closing as well
            unlock(self._descriptor)
        self._descriptor.close()


def take(directory: PrivateDescriptor, name: str, path: str) -> FileLock | None:
    """Take a lock in a scope's directory; `None` if somebody has it.

    Raises:
        RootRefused: that file is not one of ours.
        OSError: it cannot be opened or locked.
    """
    lock = PrivateDescriptor(name, os.O_RDWR | os.O_CREAT, directory.number)
    try:
        check_ours(lock.opened, f"{path}/{name}")
        if lock_descriptor(lock.number, blocking=False):
            return FileLock(lock)
    except BaseException:
        lock.close()
        raise
    lock.close()
    return None


def is_taken(directory: PrivateDescriptor, name: str) -> bool:
    """Whether somebody has that lock.

    Raises:
        OSError: it cannot be opened or locked.
    """
    try:
        probe = PrivateDescriptor(name, os.O_RDWR, directory.number)
    except FileNotFoundError:  # nobody ever wanted it
        return False
    try:
        return has_lock(probe.number)
    finally:
        probe.close()


def has_lock(probe: int) -> bool:
    """Whether another descriptor has the lock of the file that this one was opened for.

    Raises:
        OSError: it cannot be locked.
    """
    try:
        # Shared, as a guardian looks too: two that look do not see each other.
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def unlock(lock: PrivateDescriptor) -> None:
    """Unlock it, and keep it open."""
    if lock.look():
        unlock_descriptor(lock.number)


def wait_for(lock: PrivateDescriptor, path: str, deadline: Deadline) -> None:
    """Lock the `scope.lock` of the scope at that path.

    Raises:
        ScopeBusy: another process held it until the deadline.
    """
    pause = _FIRST_PAUSE
    while not lock_descriptor(lock.number, blocking=False):
        left = deadline.left()
        if left is not None and left <= 0:
            raise ScopeBusy(
                f"the scope {path!r} is held by another process, which may be cleaning;"
                f" try again, or see who has its {SCOPE_LOCK} open (fuser)",
                path=path,
            )
        # The kernel could wake us, but not with an end to the waiting.
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def still_there(scope: str, root: PrivateDescriptor, directory: PrivateDescriptor) -> bool:
    """Whether that directory is still the scope of that name: it may have been swept."""
    try:
        return directory.is_at(os.stat(scope, dir_fd=root.number, follow_symlinks=False))
    except FileNotFoundError:
        return False
