"""The terminal that a command was started at, and lending it to another process group.

Tested by: tests/cli/test_run_terminal.py, tests/cli/test_foreground.py
"""

from __future__ import annotations

import os

from ..._platform import pids
from ..._scopes.kinds.process_groups import group_of


class ControllingTerminal:
    """The terminal that controls this process.

    Callers block SIGTTOU, because otherwise the terminal would stop this process when it
    takes the terminal back.

    Args:
        descriptor: the terminal, open for reading and writing.

    Attributes:
        lent: whether the command has been given it at all.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lent = False

    @classmethod
    def find(cls) -> ControllingTerminal | None:
        """The terminal that controls this process; `None` if there is none."""
        try:
            return cls(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError:  # ENXIO: none; ENOENT: no such thing here
            return None

    def is_ours(self) -> bool:
        """Whether the process group of this process is in the foreground."""
        return self.is_with(os.getpgrp())

    def is_with(self, group: int) -> bool:
        """Whether a process group is in the foreground."""
        return self._in_front() == group

    def lend(self, group: int) -> None:
        """Put a process group into the foreground."""
        self.lent = True
        self._put_in_front(group)

    def take_back(self, group: int) -> None:
        """Put the own group into the foreground again, unless a third living group is there."""
        front = self._in_front()
        if self.lent and front != os.getpgrp() and (front == group or not _lives(front)):
            self._put_in_front(os.getpgrp())

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def _in_front(self) -> int:
        try:
            return os.tcgetpgrp(self._descriptor)
        except OSError:  # it was hung up
            return -1

    def _put_in_front(self, group: int) -> None:
        try:
            os.tcsetpgrp(self._descriptor, group)
        except OSError:
            return  # hung up, or the group has just ended: there is nothing to lend


def is_alone_in_group() -> bool:
    """Whether this process is alone in its group, and so no part of a pipeline."""
    others = (pid for pid in pids.process_ids() if pid != os.getpid())
    return not any(group_of(pid) == os.getpgrp() for pid in others)


def _lives(group: int) -> bool:
    return group > 0 and any(group_of(pid) == group for pid in pids.process_ids())
