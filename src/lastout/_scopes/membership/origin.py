"""ProcessOrigin: the process that joined, with its user and root directory at that time.

Tested by: tests/shared/test_dropped_privileges.py, tests/shared/test_handover.py
"""

from __future__ import annotations

import os


class ProcessOrigin:
    """The process that creates this object, as it is then.

    Attributes:
        pid: its process id.
    """

    __slots__ = ("_root", "_user", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._user, self._root = os.geteuid(), _root()

    def is_here(self) -> bool:
        """Whether this process is that process.  False in a child forked without hooks."""
        return self.pid == os.getpid()

    def can_reach(self) -> bool:
        """Whether this process can still reach the scope.  False after it gave up root."""
        return self._user == os.geteuid() and self.finds_things()

    def finds_things(self) -> bool:
        """Whether paths keep their meaning.  False after the process changed its root directory."""
        return self._root == _root()


def _root() -> tuple[int, ...]:
    """Device and inode of the root directory."""
    try:
        found = os.stat("/")
    except OSError:
        return ()
    return found.st_dev, found.st_ino
