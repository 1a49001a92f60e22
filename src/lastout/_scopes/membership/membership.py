"""Membership: this process in a scope, from joining to leaving.

    join():   reap the dead, then publish a journal         (the scope locked)
    record(): write a line, before the artifact is made     (no lock taken; see `recording`)
    leave():  clean the artifacts of this member, then      (no lock taken)
              reap the dead and this member                 (the scope locked)

A process has one membership for each scope that it joined, with any number of `Scope` objects.
The membership ends when the last `Scope` object leaves.

Tested by: tests/shared/test_scope.py, tests/shared/test_joining.py, tests/shared/test_handover.py
"""

from __future__ import annotations

import os
from time import monotonic_ns

from ..._exits import begun, ending
from ..._identity import here
from ...backends import descriptors
from ...deadline import Deadline
from ...errors import UsageError
from ...report import Report
from ..guardian.client import GuardianClient
from ..kinds import table
from ..records import journal as journals
from ..records import liveness
from ..records.artifact import Artifact, keep_here
from ..records.scope_lock import PATIENCE
from .activity import ScopeActivity
from .entering import enter_scope, reap_dead
from .exit_places import forget_place, register_leaving, show_failures, unregister_leaving
from .holder_set import HolderSet
from .leaving import ScopeLeaver
from .loading import load_all
from .origin import ProcessOrigin
from .recording import JournalWriter
from .reentrant_lock import ReentrantLock
from .releasing import ArtifactReleaser
from .worker_policy import WorkerPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from typing import Any

    from ...backends.base import JournalLock
    from ..reaping.cleaning_pass import Clean
    from ..records.scope_lock import ScopeRef
    from .holder_set import MembershipHolder


# The scopes that this process is in, in the order in which it joined them.
joined: dict[str, Membership] = {}


class Membership:
    """This process in one scope.

    Args:
        scope: the scope.
        clean: the function that removes an artifact.

    Attributes:
        holders: the holders that keep this process in the scope.
        joined: whether this process is in the scope.
        token: the name of this member in the scope.
        journal: the journal of this member.
        origin: the process that joined, as it was then.
        counted_out: whether this member is on its way out, and a child would come too late.
        patience: seconds to wait, on leaving, for all other members to leave first.
        report: the report of joining; after leaving, the report of leaving.
        busy: the work of other threads that leaving has to wait for.
        guardian: starts a guardian for the scope, if the scope wants a guardian.
        workers: the policy for processes that are of no use without this process.
    """

    journal: JournalWriter

    def __init__(self, scope: ScopeRef, clean: Clean) -> None:
        self.scope, self.name, self.path = scope, scope.name, scope.path
        self.clean = clean
        self.guardian = GuardianClient(self.path)
        self.workers = WorkerPolicy(self.guardian)
        self.holders = HolderSet()
        self.joined = False
        self.token = ""
        self.report = Report()
        self._new_process()

    def _new_process(self) -> None:
        """Begin anew, because no thread of this process is in the middle of anything."""
        self._guard = ReentrantLock(self.path)
        self.busy = ScopeActivity(self.path)
        self.origin = ProcessOrigin()
        self.patience: float | None = None
        self.counted_out = False
        self._handed_over = False
        self._leaving = False

    # Joining.

    def join(self) -> None:
        """Join, unless this process has joined; clean up after the dead in either case.

        Raises:
            JournalTooNew: a newer lastout is in the scope.
            ScopeBusy, SystemRefused, RootRefused: the scope cannot be used.
        """
        with self.guarded(PATIENCE):
            if self.joined:
                self._catch_up()
                return
            load_all(self.path)
            journal_lock, self.report = enter_scope(self.scope, self.clean)
            self._write_in(journal_lock)
            self.joined = True
            liveness.ours.add(self.token)
            keep_here(self.path, self)
            register_leaving(self.path, self.leave_at_exit)
            self.guardian.look()

    def _write_in(self, journal_lock: JournalLock) -> None:
        """Become the member that owns this journal."""
        self.token = journal_lock.member
        self.journal = JournalWriter(self.scope, journal_lock)

    def _catch_up(self) -> None:
        """Clean up after the dead in a forked child, which did not, as a fork has to be fast."""
        if self._handed_over:
            self._handed_over = False
            report = reap_dead(self.scope, self.clean)
            self.report = self.report if report is None else report

    # Recording, and taking back.

    def record(
        self,
        kind: str,
        location: str,
        lifetime: str,
        after: tuple[str, ...],
        data: Mapping[str, Any],
    ) -> Artifact:
        """Record an artifact that is about to be made; see `JournalWriter.record`."""
        if not self.joined or self.origin.pid != os.getpid():
            self.check()
        now = monotonic_ns()
        if now > self.guardian.due and self.origin.can_reach():
            self.guardian.look()
        return self.journal.record(kind, location, lifetime, after, data, now)

    def check(self) -> None:
        """Raise `UsageError` unless this process is in the scope."""
        if not self.joined:
            raise UsageError(f"this process has left the scope {self.path!r}; join it anew")
        if not self.origin.is_here():
            raise UsageError(
                f"this process was forked behind Python's back, or could not be made a member"
                f" when it was, and is not in the scope {self.path!r}; join it with"
                f" Scope({self.name!r})"
            )

    def release(self, artifact: Artifact) -> None:
        """Clean an artifact now; see `Artifact.release`."""
        self.check()
        with self.busy:
            ArtifactReleaser(self.journal, self.clean).release(artifact)

    def keep(self, artifact: Artifact) -> None:
        """Forget an artifact; see `Artifact.keep`."""
        self.check()
        ArtifactReleaser(self.journal, self.clean).keep(artifact)
        table.forget(artifact.kind, artifact.location, artifact.data)

    # Leaving.

    def give_up(self, holders: AbstractSet[MembershipHolder], timeout: float | None) -> Report:
        """Remove these holders, and leave if they are the last; see `leave`.

        If leaving raises, they hold the membership as before.
        """
        if self.holders.are_among(holders):
            return self.leave(timeout)
        self.holders.discard(holders)
        return Report()

    def leave(self, timeout: float | None = None) -> Report:
        """Leave: clean this member's artifacts, and the rest if no other member is left.

        Failures are in the report and are not raised, and an artifact that could not be
        cleaned stays recorded.

        Args:
            timeout: seconds for all cleaning together; `None` for no limit but
                the limit of each artifact.

        Raises:
            ScopeBusy: another thread is leaving, making or releasing, for longer than that.
        """
        if not self.origin.is_here():
            return Report()
        with self.guarded(PATIENCE if timeout is None else timeout):
            # Checked, because a cleanup may call `leave` in the middle of leaving.
            if self.joined and not self._leaving:
                self._leaving = True
                leaver = ScopeLeaver(self)
                try:
                    try:
                        self.report = leaver.leave(Deadline(timeout))
                    finally:
                        self.end() if leaver.is_out else self._stay()
                finally:
                    self._leaving = False
            return self.report

    def is_in(self) -> bool:
        """Whether this process is still in the scope; a helper leaves a scope that has ended."""
        if self.joined and liveness.is_helper(self.token) and self.journal.lost:
            self.end()
        return self.joined

    def leave_at_exit(self) -> None:
        """Leave because the process ends, after its children; each failure is shown."""
        if begun and self.origin.is_here():
            show_failures(self.workers.end_own(self.journal), self.leave_at_exit)
        # Put off, because children that multiprocessing still has to end may be members.
        if not ending.put_off(self.leave_at_exit):
            show_failures(self.leave(), self.leave_at_exit)

    def _stay(self) -> None:
        """Go on after a failed leave: artifacts that remain can be used, and left again."""
        self.counted_out = False
        self.busy.open()

    def end(self) -> None:
        """End the membership, which has left or whose scope has ended; it can be joined anew."""
        self.journal.lock.give_up()
        self.joined = False
        self.holders.clear()
        self.guardian.forget()
        liveness.ours.discard(self.token)
        keep_here(self.path, None)
        unregister_leaving(self.path, self.leave_at_exit)
        # Last, because from here on another thread may join anew, and must keep its settings.
        joined.pop(self.path, None)

    def guarded(self, seconds: float) -> AbstractContextManager[None]:
        """Keep other threads from joining or leaving; see `ReentrantLock.taken`."""
        return self._guard.taken(seconds)

    # Forks; see `handover`.

    def can_hand_over(self) -> bool:
        """Whether a child that is forked now is a member from its first moment.

        A helper's child is not, because a helper does not keep the scope until the child has
        begun.  That child joins by itself, as a spawned child does.
        """
        return self.joined and not self.counted_out and not liveness.is_helper(self.token)

    def exclude_from_forks(self) -> None:
        """Keep children forked from here on outside: the last member may be decided already."""
        # Not in the middle of a fork by another thread, because its child counts.
        locked_out = descriptors.lock_out_forks()
        self.counted_out = True
        descriptors.let_in_forks(locked_out)

    def stay_outside(self) -> None:
        """In a forked child that is no member, forget the membership."""
        liveness.ours.discard(self.token)
        self.joined = False
        joined.pop(self.path, None)
        keep_here(self.path, None)

    def become_child(self, journal_lock: JournalLock) -> None:
        """In a forked child, become a member of its own by `journal_lock`."""
        self._forget_parent()
        self._handed_over = True
        self._write_in(journal_lock)
        liveness.ours.add(self.token)
        register_leaving(self.path, self.leave_at_exit)
        self.journal.append(journals.join(monotonic_ns(), here()))

    def join_late(self) -> None:
        """In a forked child for which the parent could make no journal, join now."""
        parents = self.journal.lock
        self._forget_parent()
        self.joined = False
        try:
            self.join()
        finally:
            parents.close() if self.joined else self.stay_outside()

    def _forget_parent(self) -> None:
        forget_place(self.path)
        liveness.ours.discard(self.token)
        self._new_process()
