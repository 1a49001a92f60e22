"""ProcessOrigin: which process joined, as whom, and from where it saw its scope.

Tested by: tests/shared/test_dropped_privileges.py, tests/shared/test_handover.py
"""

from __future__ import annotations

import os


class ProcessOrigin:
    """The process that makes it, as it is now.

    Attributes:
        pid: its process id.
    """

    __slots__ = ("_root", "_user", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._user, self._root = os.geteuid(), _root()

    def is_here(self) -> bool:
        """Whether this is that process: not after a fork that lastout was not told of."""
        return self.pid == os.getpid()

    def can_reach(self) -> bool:
        """Whether this process can still get to the scope: not after it gave up root."""
        return self._user == os.geteuid() and self.finds_things()

    def finds_things(self) -> bool:
        """Whether a path still means what it did: not after it changed its root directory."""
        return self._root == _root()


def _root() -> tuple[int, ...]:
    """Where paths begin."""
    try:
        found = os.stat("/")
    except OSError:
        return ()
    return found.st_dev, found.st_ino
