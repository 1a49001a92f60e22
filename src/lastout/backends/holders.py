"""Holders: the processes that have the locks in a scope, as far as they can be seen.

Tested by: tests/cli/test_keeping.py
"""

from __future__ import annotations

import os

from .._platform import locks
from ..layout import GUARDIAN_LOCK, JOURNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def holders(scope: str, members: Collection[str]) -> tuple[dict[str, list[int]], list[int]]:
    """The processes that hold the journals of these members, and the processes with the guard.

    Looking at the descriptors of all processes takes some milliseconds.  It takes no locks, so
    it neither delays a process that is about to take a lock nor waits for it.

    Args:
        scope: the path of the scope.
        members: their tokens.

    Returns:
        For each token the pids of the processes that have its journal locked; and the pids
        of the processes that have the lock of the scope's guardian.
    """
    journals = {os.path.join(scope, token + JOURNAL): token for token in members}
    guard = os.path.join(scope, GUARDIAN_LOCK)
    found = locks.holders([*journals, guard])
    keepers = {journals[path]: pids for path, pids in found.items() if path != guard}
    return keepers, found.get(guard, [])
