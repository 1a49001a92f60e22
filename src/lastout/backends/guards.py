"""The lock that says that a scope has a guardian: `<root>/<scope>/guardian.lock`.

A member that finds the lock free takes it, starts a guardian, and hands the lock
over to it, so a scope has one guardian at most, and two never begin at once.  The
existence of the file says that the scope wants a guardian; the file is removed with
the scope.  All versions of lastout recognize a guardian by its name and by having
this file open.

Tested by: tests/shared/test_guardian.py, tests/cli/test_versions.py
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
    """Take the lock, to hand it to a new guardian; `None` if a guardian has it.

    Args:
        scope: the path of the scope.
        create: whether the scope wants a guardian from now on.

    Raises:
        FileNotFoundError: there is no such scope, or it wants no guardian.
        RootRefused: the lock file belongs to another user.
        OSError: the lock file cannot be opened or locked.
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
    """Whether a process is a guardian or its job, of any scope and any version of lastout.

    By its name and its lock alone, because other arguments differ between versions.
    """
    if GUARDIAN.encode() not in pids.command_line(pid):
        return False
    if any(_is_its_lock(path) for path in pids.open_files(pid)):
        return True
    parent = pids.parent_of(pid)  # a job has the name of its guardian, but has closed the lock
    return parent is not None and is_guardian(parent)


def _is_its_lock(path: str) -> bool:
    return os.path.basename(path).removesuffix(" (deleted)") == GUARDIAN_LOCK
