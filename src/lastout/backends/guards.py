"""The lock that says that a scope has a guardian: `<root>/<scope>/guardian.lock`.

Whoever finds it free takes it, starts a guardian, and hands the lock over to it,
so there is one at most, and no moment in which two begin.  The file says that
the scope wants one; it goes with the scope.  By having it open, and by its name,
a guardian is known to all versions of lastout.
"""

from __future__ import annotations

__lazy_modules__ = ["filelock"]  # from 3.15: loaded for the first lock

import os

from filelock import lock_descriptor

from .._platform import pids
from ..layout import GUARDIAN, GUARDIAN_LOCK
from .descriptors import PrivateDescriptor
from .root import check_ours


def take_guard(scope: str, create: bool) -> PrivateDescriptor | None:
    """The lock, to be handed to a guardian; `None` if one has it.

    Args:
        scope: the path of the scope.
        create: whether the scope wants a guardian from now on.

    Raises:
        FileNotFoundError: there is no such scope, or it wants none.
        RootRefused: that file is not one of ours.
        OSError: it cannot be opened or locked.
    """
    path = os.path.join(scope, GUARDIAN_LOCK)
    lock = PrivateDescriptor(path, os.O_RDWR | (os.O_CREAT if create else 0))
    try:
        check_ours(lock.opened, path)
        if lock_descriptor(lock.number, blocking=False):
            return lock
    except BaseException:
        lock.close()
        raise
    lock.close()
    return None


def is_guardian(pid: int) -> bool:
    """Whether that process is a guardian, of whichever scope and version, or does its work.

    By its name and its lock alone: what else it was started with is its version's affair.
    """
    if GUARDIAN.encode() not in pids.command_line(pid):
        return False
    if any(_is_its_lock(path) for path in pids.open_files(pid)):
        return True
    parent = pids.parent_of(pid)  # a job has its guardian's name, but has closed the lock
    return parent is not None and is_guardian(parent)


def _is_its_lock(path: str) -> bool:
    return os.path.basename(path).removesuffix(" (deleted)") == GUARDIAN_LOCK
