"""Unreachable: leaving a scope that cannot be locked, by the member's own journal alone.

Tested by: tests/shared/test_removed_root.py, tests/shared/test_dropped_privileges.py
"""

from __future__ import annotations

import os

from ..._platform import locks
from ...errors import ScopeGone
from ...layout import GUARDIAN_LOCK
from ...report import Failure, Outcome
from ..kinds.table import flags
from ..reaping.cleaning_pass import CleaningPass
from ..records import plan
from ..records.liveness import is_helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ...deadline import Deadline
    from ..reaping.cleaning_pass import Clean
    from ..records.artifact import Artifact
    from .recording import JournalWriter

_GUARDS: Final = f"{GUARDIAN_LOCK} (deleted)"  # that file, when it has lost its name


def clean_own(journal: JournalWriter, clean: Clean, deadline: Deadline) -> Iterator[Outcome]:
    """Clean this member's artifacts as far as allowed after giving up root or the root directory.

    The rest stays recorded.  This member has left then, so its parent cleans the rest, or the
    next reap by root.
    """
    if not journal.owns_things or journal.lost:
        return
    due = [one for one in journal.unresolved() if one.lifetime == "member" and _may_clean(one)]
    for outcome in CleaningPass(lambda _, records: journal.append(records), clean, deadline)(
        plan.order(due)
    ):
        if not (outcome.failure and isinstance(outcome.failure.exception, PermissionError)):
            yield outcome


def _may_clean(artifact: Artifact) -> bool:
    """Whether an artifact may be cleaned though other journals cannot be read.

    True if it contains no artifacts of other members, and every process cleans it the same way.
    """
    its = flags(artifact.kind)
    if artifact.after:
        return False
    if not its.ends_processes:
        return its.repeatable and not its.contains
    try:
        os.kill(artifact.data["pid"], 0)
    except (KeyError, OSError):
        return False
    return True


def go_without_scope(
    journal: JournalWriter, is_gone: bool, clean: Clean, deadline: Deadline
) -> Iterator[Outcome]:
    """Clean, in a removed scope, artifacts that no other process can use; report the rest.

    Args:
        journal: the journal of the member that leaves.
        is_gone: whether the scope and the journal were removed; else the scope was moved, or
            made anew, or only the journal was taken.
        clean: the function that removes an artifact.
        deadline: for all cleaning together.
    """
    left, path = journal.unresolved(), journal.scope.path
    alone = is_gone and any(one.lifetime == "scope" for one in left) and _is_alone(journal)
    due = [one for one in left if alone or one.lifetime == "member"]
    yield from CleaningPass(lambda *_: None, clean, deadline)(plan.order(due), plan.before(due))
    for artifact in left if not alone else ():
        if artifact.lifetime == "scope":
            error = ScopeGone(
                f"the scope {path!r} was removed while it was in use, so nobody knows"
                f" who still uses the {artifact.kind} {artifact.location!r}; it stays:"
                " remove it when nobody does",
                path=path,
            )
            yield Outcome(f"{artifact.kind} {artifact.location}", 0.0, Failure(error))


def _is_alone(journal: JournalWriter) -> bool:
    """Whether certainly no other member lives, because each living member locks its journal."""
    locked = locks.locked_beside(journal.lock.fileno())
    if locked is None:
        return False
    # Only locked files in a directory with this scope's name belong to this scope.
    beside = [path for path in locked if os.path.dirname(path).endswith(journal.scope.name)]
    return all(_only_serves(os.path.basename(path)) for path in beside)


def _only_serves(name: str) -> bool:
    """Whether the holder of this lock file, a guardian or helper, keeps no scope from ending."""
    return name == _GUARDS or is_helper(name.partition(".")[0])
