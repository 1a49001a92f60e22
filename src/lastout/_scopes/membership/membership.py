"""Membership: that this process is in a scope; from joining to leaving.

    join():   reap the dead, then publish a journal     (the scope held)
    record(): one line in it, before the thing is made  (nothing held; see `recording`)
    leave():  what is this member's own, then           (nothing held)
              reap the dead and oneself                 (the scope held)

There is one for each scope that this process joined, however many `Scope`
objects stand for it; the last of them to leave ends it.
"""

from __future__ import annotations

import os
from time import monotonic_ns

from ..._exits import begun, ending, registry
from ..._exits.forkserver import is_forkserver
from ..._identity import here, new_token
from ..._platform.imports import load
from ...backends import descriptors
from ...deadline import Deadline
from ...errors import JournalTooNew, LastoutError
from ...report import Failure, Outcome, Report
from ..kinds import table
from ..reaping.reaper import reap
from ..records import journal as journals
from ..records import liveness
from ..records.artifact import Artifact, keep_here
from ..records.scope_lock import PATIENCE, hold
from .activity import ScopeActivity
from .exit_places import places
from .leaving import ScopeLeaver
from .loading import load_all
from .recording import JournalWriter
from .reentrant_lock import ReentrantLock
from .releasing import ArtifactReleaser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from ...backends.base import Backend, JournalLock
    from ..reaping.cleaning_pass import Clean


# The scopes that this process is in, in the order in which it joined them.
joined: dict[str, Membership] = {}


class Membership(JournalWriter):
    """This process in one scope.

    Args:
        backend: where members meet.
        name: the scope.
        clean: how an artifact is removed.

    Attributes:
        shares: how many `Scope` objects that were made in this process have yet to leave.
        copied: how many that a fork copied have yet to; these it can do without.
        pinned: whether it lasts until the process ends, whoever leaves.
        counted_out: whether it is on its way out, and a child would come too late.
        patience: seconds to wait, on leaving, for all others to leave first.
        report: what was cleaned when it joined; when it has left, on leaving.
        resolved: the numbers of its artifacts that it released or kept.
        busy: what other threads do in it, and leaving has to wait for.
    """

    def __init__(self, backend: Backend, name: str, clean: Clean) -> None:
        super().__init__(backend, name)
        self.clean = clean
        self.shares = 0
        self.copied = 0
        self.pinned = False
        self.patience: float | None
        self.report = Report()
        self._new_process()
        self._begin()

    def _new_process(self) -> None:
        """Nobody in it is in the middle of anything."""
        self._guard = ReentrantLock(self.path)
        self.busy = ScopeActivity(self.path)
        self._releaser = ArtifactReleaser(self)
        self._handed_over = False
        self._leaving = False

    def _begin(self) -> None:
        """As a new member, that has recorded nothing."""
        self.start_anew()
        self.counted_out = False
        self.busy.open()
        self.patience = None
        self.resolved: set[int] = set()

    # Joining.

    def join(self) -> None:
        """Join, unless that was done; clean up after the dead in either case.

        Raises:
            JournalTooNew: a newer lastout is in the scope.
            ScopeBusy, SystemRefused, RootRefused: the scope cannot be used.
        """
        with self.guarded(PATIENCE):
            if self.joined:
                self._catch_up()
                return
            load_all(self.path)
            self._begin()
            self.report = Report()
            while not self._try_to_join():
                continue  # the dead were the last ones: that scope is no more
            self.joined = True
            liveness.ours.add(self.token)
            keep_here(self.path, self)
            self._leave_at_end()
            self.guardian.look()

    def _try_to_join(self) -> bool:
        with hold(self.backend, self.name, self.path, create=True) as held:
            assert held is not None
            if held.members():
                reaped = reap(held, self.path, self.clean, Deadline(), joining=True)
                self.report = Report([*self.report, *reaped.outcomes])
                for outcome in reaped.outcomes:
                    if outcome.failure and isinstance(outcome.failure.exception, JournalTooNew):
                        raise outcome.failure.exception
                if reaped.swept:
                    return False
            # It joined itself: to go on as another program is still to be here.
            who = here()
            who.image = 0
            self.token = liveness.new_helper_token() if is_forkserver() else new_token()
            first = journals.header(self.token) + journals.join(monotonic_ns(), who)
            self.take(held.publish(self.token, first))
            return True

    def _catch_up(self) -> None:
        """What a forked child did not do when it became a member, because a fork has to be fast."""
        if self._handed_over:
            self._handed_over = False
            with hold(self.backend, self.name, self.path) as held:
                if held:
                    self.report = Report(reap(held, self.path, self.clean, Deadline()).outcomes)

    # Taking back.

    def release(self, artifact: Artifact) -> None:
        """Clean it now; see `Artifact.release`."""
        self.check()
        self._releaser.release(artifact)

    def keep(self, artifact: Artifact) -> None:
        """Forget it; see `Artifact.keep`."""
        self.check()
        self._releaser.keep(artifact)
        table.forget(artifact.kind, artifact.location, artifact.data)

    # Leaving.

    def leave(self, timeout: float | None = None) -> Report:
        """Leave: clean what is one's own, and the rest if nobody is left.

        Nothing that fails comes out of here: it is in the report, and what
        could not be cleaned stays recorded.

        Args:
            timeout: seconds for all cleaning together; `None` for no limit but
                the one that each artifact has.

        Raises:
            ScopeBusy: another thread is leaving, making or releasing, and takes longer
                than that.
        """
        if not self.is_here():
            return Report()
        with self.guarded(PATIENCE if timeout is None else timeout):
            # A cleanup may ask for it, in the middle of it.
            if self.joined and not self._leaving:
                self._leaving = True
                leaver = ScopeLeaver(self)
                try:
                    self.report = leaver.leave(Deadline(timeout))
                except BaseException:
                    if leaver.is_out:
                        self._end()
                    else:
                        self._stay()
                    raise
                else:
                    self._end()
                finally:
                    self._leaving = False
            return self.report

    def is_here(self) -> bool:
        """Whether it is this process's: not after a fork that nobody told us of."""
        return self._pid == os.getpid()

    def is_in(self) -> bool:
        """Whether its scope is still there: a helper's may have ended, and is left then."""
        if self.joined and liveness.is_helper(self.token) and self.journal_lock.lost:
            self.lose()
        return self.joined

    def lose(self) -> None:
        """Its scope was ended by others: this process can join it anew."""
        self._end()

    def holders(self) -> tuple[int, int, bool]:
        """For whom this process is in: all false when it can leave."""
        return self.shares, self.copied, self.pinned

    def _leave_at_end(self) -> None:
        """Have it left when the process ends, before what was registered earlier."""
        if is_forkserver():
            return  # which runs no handlers: this one would be its children's
        place = places.get(self.path)
        if place:
            place.membership = self
        else:
            registry.register(self.leave_at_exit)

    def leave_at_exit(self) -> None:
        """Leave because the process ends, after its children; each failure is shown."""
        if begun and self.is_here() and self.grace() is not None:
            self._show(self._end_workers())
        # Those that multiprocessing still has to end may be members.
        if not ending.put_off(self.leave_at_exit):
            self._show(self.leave())

    def _end_workers(self) -> Iterable[Outcome]:
        try:
            # Loaded before, where `worker` was asked for.
            return load("lastout._scopes.reaping.orphans").end_own(self)  # type: ignore[no-any-return]
        except (LastoutError, OSError) as error:
            return [Outcome(f"workers in {self.path}", 0.0, Failure(error))]

    def _show(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.failure:
                error = outcome.failure.exception
                registry.show(error, self.leave_at_exit, error.__traceback__)

    def _stay(self) -> None:
        """Leaving came to nothing: what is not cleaned yet can be used, and left again."""
        self.counted_out = False
        self.busy.open()

    def _end(self) -> None:
        self.journal_lock.give_up()
        self.joined = self.pinned = False
        self.guardian.forget()
        liveness.ours.discard(self.token)
        keep_here(self.path, None)
        if not is_forkserver():
            registry.unregister(places.pop(self.path, self.leave_at_exit))
        # Last: from here on another thread can join anew, and what it sets stays.
        joined.pop(self.path, None)

    def guarded(self, seconds: float) -> AbstractContextManager[None]:
        """No other thread joins or leaves meanwhile; see `ReentrantLock.taken`."""
        return self._guard.taken(seconds)

    # Forks; see `handover`.

    def can_hand_over(self) -> bool:
        """Whether a child that is forked now is a member from its first moment.

        Not a helper's: it does not keep the scope until the child has begun.  The child joins
        by itself then, as a spawned one does.
        """
        return self.joined and not self.counted_out and not liveness.is_helper(self.token)

    def exclude_from_forks(self) -> None:
        """From here on a forked child is outside: whoever is last may have been decided."""
        # Not in the middle of a fork by another thread: its child counts.
        locked_out = descriptors.lock_out_forks()
        self.counted_out = True
        descriptors.let_in_forks(locked_out)

    def stay_outside(self) -> None:
        """This process was forked by one that was on its way out."""
        self._leave_to_parent()
        self.joined = False
        joined.pop(self.path, None)
        keep_here(self.path, None)

    def become_child(self, journal_lock: JournalLock) -> None:
        """This process was forked, and is a member of its own by `journal_lock`."""
        places.pop(self.path, None)  # it was on the parent's stack
        self._leave_to_parent()
        self.token = journal_lock.member
        self._handed_over = True
        self.take(journal_lock)
        liveness.ours.add(self.token)
        self._leave_at_end()
        self.append(journals.join(monotonic_ns(), here()))

    def join_late(self) -> None:
        """This process was forked, and nothing could be handed over."""
        places.pop(self.path, None)
        parents = self.journal_lock
        self._leave_to_parent()
        self.joined = False
        try:
            self.join()
        finally:
            if self.joined:
                parents.close()
            else:
                joined.pop(self.path, None)
                keep_here(self.path, None)

    def _leave_to_parent(self) -> None:
        liveness.ours.discard(self.token)
        self._new_process()
        self._begin()
        self.copied += self.shares
        self.shares = 0
