"""Namespaces of Linux: in which one this process is, and whether anybody is left in another.

Tested by: tests/shared/test_sysv.py
"""

from __future__ import annotations

import os

from . import pids


def namespace(sort: str) -> int:
    """The number of this process's namespace; 0 if the system does not say.

    Args:
        sort: which one, as in `/proc/self/ns`: `"ipc"`, `"mnt"`.
    """
    return _of("self", sort) or 0


def may_be_in_use(sort: str, number: int) -> bool:
    """Whether a process may still be in that namespace; false only if all can be seen and none is.

    With its last process a namespace goes, and all that is in it.
    """
    if not pids.sees_all_processes():
        return True
    for pid in pids.process_ids():
        try:
            found = _of(str(pid), sort)
        except PermissionError:
            return True
        if found == number:
            return True
    return False


def _of(process: str, sort: str) -> int | None:
    try:
        return os.stat(f"/proc/{process}/ns/{sort}").st_ino
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return None
