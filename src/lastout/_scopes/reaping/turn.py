"""CleaningTurn: one process at a time cleans a scope, even while it has let go of the scope.

    take the turn  -->  let go of the scope  -->  end, call, wait  -->  take it again
    (cleaner.lock)      the awaited process        (only the turn       record the result,
                        can leave, join, look       is held)            and survey anew

An awaited process may be a member, or become a member, and must not have to wait for the
process that waits for it.  So no process is ended, called or waited for while the scope is
locked; only the turn is held, so that no other process cleans.  The kernel releases the
turn when its process ends.

Tested by: tests/shared/test_turn.py
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..._platform import pids
from ..._platform.genuine import UnpatchedModule
from ...deadline import Deadline
from ...errors import LastoutError, ScopeBusy, ScopeGone
from ...layout import CLEANER_LOCK
from ..kinds import table
from ..records import journal as journals
from ..records.scope_lock import PATIENCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, Self

    from ...backends.base import Lock, LockedScope
    from ..records.artifact import Artifact

time = UnpatchedModule("time")

_PAUSE: Final = 0.005


class CleaningTurn:
    """The right to clean a scope, for the time of the block; a context manager.

    Args:
        held: the locked scope, in which no other process has the turn.
        path: the path of the scope.

    Attributes:
        stale: whether members, or their journals, may have changed since the survey.
    """

    def __init__(self, held: LockedScope, path: str) -> None:
        self._held = held
        self._path = path
        self._lock: Lock | None = None
        self.stale = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.give_up()

    @contextmanager
    def apart(self, kind: str) -> Iterator[None]:
        """Let go of the scope while an artifact of this kind is cleaned.

        Raises:
            ScopeGone: the scope was removed meanwhile.
            ScopeBusy: other processes had it locked for too long after.
        """
        if not self._is_taken():
            yield  # no room for the lock file, so clean anyway: that may make room
            return
        before = self._state()
        self._held.let_go()
        try:
            yield
        finally:
            lock_again(self._held, self._path)
            # Always stale after a program, which may have been a member that recorded nothing.
            self.stale |= table.flags(kind).ends_processes or self._state() != before

    def _is_taken(self) -> bool:
        if self._lock is None:
            try:
                self._lock = self._held.take(CLEANER_LOCK)
            except (LastoutError, OSError):
                return False
        return self._lock is not None

    def _state(self) -> list[tuple[str, int]]:
        return sorted((member, self._held.size(member)) for member in self._held.members())


def lock_again(held: LockedScope, path: str) -> None:
    """Lock a scope again that was let go of.

    Raises:
        ScopeGone: the scope was removed meanwhile.
        ScopeBusy: other processes had it locked for too long.
    """
    if not held.take_again(Deadline(PATIENCE)):
        raise ScopeGone(f"the scope {path!r} was removed while it was cleaned", path=path)


def wait_until_free(held: LockedScope, path: str, lock: str, deadline: Deadline) -> bool:
    """Let go of the scope until the further lock is free; `False` if the deadline passed.

    Raises:
        ScopeGone, ScopeBusy: as `lock_again`.
    """
    while held.is_taken(lock):
        left = deadline.left()
        if left == 0:
            return False
        held.let_go()
        try:
            # By pauses, because a wait for a lock in the kernel has no time limit.
            time.sleep(_PAUSE if left is None else min(_PAUSE, left))
        finally:
            lock_again(held, path)
    return True


def wait_for_turn(held: LockedScope, path: str, deadline: Deadline) -> None:
    """Let go of the scope until no other process cleans it.

    Raises:
        ScopeBusy: another process still cleaned at the deadline.
        ScopeGone: the scope was removed by that cleaning.
    """
    if not wait_until_free(held, path, CLEANER_LOCK, deadline):
        raise ScopeBusy(
            f"the scope {path!r} is being cleaned by another process, which waits for what it"
            f" ends or calls; try again, or see who has its {CLEANER_LOCK} open (fuser)",
            path=path,
        )


def come_to_turn(held: LockedScope, path: str, deadline: Deadline) -> bool:
    """Wait for the turn; `False` if the process that has it may wait for this process.

    Raises:
        ScopeBusy, ScopeGone: as `wait_for_turn`.
    """
    if not held.is_taken(CLEANER_LOCK):
        return True
    if is_waited_for(held, path):
        return False
    wait_for_turn(held, path, deadline)
    return True


def is_waited_for(held: LockedScope, path: str) -> bool:
    """Whether a cleaning process may wait for this process, which then must not wait for it.

    True if this process, or an ancestor, is the cleaning process or is being ended by it.
    """
    family = lineage()
    return any(
        by in family or table.ends(artifact.kind, artifact.location, artifact.data, family)
        for artifact, by in _begun(held, path)
    )


def lineage() -> list[int]:
    """This process, its parent, and so on."""
    found, pid = [os.getpid()], os.getppid()
    while pid > 0 and pid not in found:
        found.append(pid)
        pid = pids.parent_of(pid) or 0
    return found


def _begun(held: LockedScope, path: str) -> Iterator[tuple[Artifact, int]]:
    """Artifacts that a process began to end or call, with the pid of that process."""
    for member in held.members():
        try:
            journal = journals.parse(member, held.read(member), path)
        except (LastoutError, OSError):
            continue  # the cleaning process reports it
        for artifact in journal.unresolved():
            by = journal.begun_by.get(artifact.number)
            if by is not None and table.flags(artifact.kind).may_need_scope:
                yield artifact, by
