"""SearchToken: recognizes a process that a scope started, and its descendants.

    in its environment    LASTOUT_ARTIFACT: from its first moment, but a process may change its
                          environment, or write its title over it (setproctitle)
    as a mark             from a moment later, when its starter has put it on; it stays

The environment goes first, because a process that a program of the tree starts by a scope of
its own has another token there, and does not belong to the tree.

Tested by: tests/shared/test_tokens.py, tests/shared/test_processes.py
"""

from __future__ import annotations

from ..._platform import marks, pids
from ...layout import ARTIFACT_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ANY: Final = f"{ARTIFACT_VARIABLE}=".encode()


class SearchToken:
    """The token of one artifact.

    Args:
        name: the location of the artifact.
        everywhere: whether processes are recognized by their marks too.
    """

    def __init__(self, name: str, everywhere: bool = True) -> None:
        self._entry = _ANY + name.encode()
        self._mark = _mark_for(name) if everywhere else None

    def is_of(self, pid: int) -> bool:
        """Whether the process `pid` has this token."""
        environment = pids.environment_of(pid)
        if self._entry in environment:
            return True
        if self._mark is None or any(entry.startswith(_ANY) for entry in environment):
            return False
        return marks.mark_of(pid) == self._mark

    def put_on(self, pid: int) -> None:
        """Mark a process that was started with this token in its environment."""
        if self._mark is not None:
            marks.put_mark(pid, self._mark)

    def put_on_early_children(self, leader: int) -> None:
        """Mark the processes that a started process has forked before it was marked."""
        looked_at: set[int] = set()
        while True:  # again, because these may have forked before they were marked, too
            new = set(pids.started_since(leader)) - looked_at
            looked_at |= new
            found = [pid for pid in new if self._comes_of(pid, leader)]
            if not found:
                return
            for pid in found:
                self.put_on(pid)

    def _comes_of(self, pid: int, leader: int) -> bool:
        environment = pids.environment_of(pid)
        if any(entry.startswith(_ANY) for entry in environment):
            return self._entry in environment
        return pids.descends_from(pid, leader)  # it may have changed its environment already


def _mark_for(name: str) -> int | None:
    try:
        return marks.mark_for(int(name.rpartition("-")[2][:15], 16))
    except ValueError:  # not a name that lastout makes
        return None
