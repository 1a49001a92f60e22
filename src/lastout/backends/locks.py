"""The locks of a scope: waiting for `scope.lock`, taking a further lock, giving it up.

    scope.lock      a process holds it for moments, to join, leave, look or decide
    cleaner.lock    a process that cleans holds it, even while it has let go of the scope
    orphans.lock    a process that ends the scope's orphans holds it

A process takes a further lock only while it holds the scope, so no two processes try to
take it at once.

Tested by: tests/shared/test_handover.py, tests/backends/test_local.py
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
    """A further lock, held until `give_up`; see `Lock`."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: PrivateDescriptor) -> None:
        self._descriptor = descriptor

    def give_up(self) -> None:
        """Unlock it in every process: a program that is being started may have it for a moment."""
        with suppress(OSError):  # closing unlocks it as well
            unlock(self._descriptor)
        self._descriptor.close()


def take(directory: PrivateDescriptor, name: str, path: str) -> FileLock | None:
    """Take a lock in a scope's directory; `None` if another process has it.

    Raises:
        RootRefused: the lock file belongs to another user.
        OSError: the lock file cannot be opened or locked.
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
    """Whether a process has the lock of this name.

    Raises:
        OSError: the lock file cannot be opened or locked.
    """
    try:
        probe = PrivateDescriptor(name, os.O_RDWR, directory.number)
    except FileNotFoundError:  # no process has ever taken it
        return False
    try:
        return has_lock(probe.number)
    finally:
        probe.close()


def has_lock(probe: int) -> bool:
    """Whether the file of a descriptor is locked by way of another descriptor.

    Raises:
        OSError: the file cannot be locked.
    """
    try:
        # A shared lock, because a guardian probes too, and two probes must not see each other.
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def unlock(lock: PrivateDescriptor) -> None:
    """Unlock a file, and keep it open."""
    if lock.look():
        unlock_descriptor(lock.number)


def wait_for(lock: PrivateDescriptor, path: str, deadline: Deadline) -> None:
    """Lock the `scope.lock` of the scope at `path`.

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
        # By pauses, because a wait for a `flock` in the kernel has no time limit.
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def still_there(scope: str, root: PrivateDescriptor, directory: PrivateDescriptor) -> bool:
    """Whether a directory still is the scope of this name, and was not swept."""
    try:
        return directory.is_at(os.stat(scope, dir_fd=root.number, follow_symlinks=False))
    except FileNotFoundError:
        return False
