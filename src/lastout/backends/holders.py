"""Who has the locks in the directory of a scope: the processes, as far as they can be seen."""

from __future__ import annotations

import os

from .._platform import locks
from ..layout import GUARDIAN_LOCK, JOURNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def holders(scope: str, members: Collection[str]) -> tuple[dict[str, list[int]], list[int]]:
    """Who has the journals of these members locked, and who has the lock that a guardian has.

    Looking at the descriptors of all processes takes some milliseconds, and locks nothing:
    whoever is about to take a lock is not in our way, nor we in theirs.

    Args:
        scope: the path of the scope.
        members: their tokens.
    """
    journals = {os.path.join(scope, token + JOURNAL): token for token in members}
    guard = os.path.join(scope, GUARDIAN_LOCK)
    found = locks.holders([*journals, guard])
    keepers = {journals[path]: pids for path, pids in found.items() if path != guard}
    return keepers, found.get(guard, [])
