"""Descendants: end all running descendants of this process, whichever process started them.

This process has to adopt orphans: then no descendant can escape by a double fork, a session
or an environment of its own, and this process waits for those that ended.

Tested by: tests/cli/test_run.py, tests/cli/test_run_faults.py
"""

from __future__ import annotations

import os

from ..._platform import pids
from ..._scopes.kinds.process_groups import ProcessGroup, group_of
from ...backends.guards import is_guardian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._scopes.kinds.tokens import SearchToken
    from ...deadline import Deadline


class DescendantGroup(ProcessGroup):
    """All descendants of this process, while they are being ended; a context manager.

    Args:
        spared: whether a descendant is to be left alone, by its pid.
    """

    def __init__(self, spared: Callable[[int], bool]) -> None:
        super().__init__("", None, None)
        self._spared = spared

    def end_all(self, grace: float, deadline: Deadline) -> list[int]:
        """As `end`, repeated until there are no more; returns the pids of those that remain."""
        left = self.end(grace, deadline)
        # Again, because a look misses a process that gets its new parent meanwhile.
        while wait_for_zombies() and not left:
            left = self.end(grace, deadline)
        return left

    def _candidates(self) -> list[int]:
        return [pid for pid in pids.process_ids() if self._is_member(pid)]

    def _is_member(self, pid: int) -> bool:
        if not pids.descends_from(pid, os.getpid()) or self._spared(pid):
            return False
        return not is_guardian(pid)  # a guardian ends with its scope


def wait_for_zombies() -> int:
    """Wait for all children that have ended; returns their number."""
    buried = 0
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return buried
        if not pid:
            return buried
        buried += 1


def belongs_to_artifact(tokens: list[SearchToken], groups: set[int], pid: int) -> bool:
    """Whether a process is one of the artifacts with these tokens or groups."""
    return group_of(pid) in groups or any(token.is_of(pid) for token in tokens)
