"""Leaving: a member leaves a scope by reaping itself.

Tested by: tests/shared/test_scope.py, tests/shared/test_busy.py
"""

from __future__ import annotations

from time import monotonic, monotonic_ns

from ...deadline import Deadline
from ...errors import LastoutError, ScopeBusy
from ...layout import CLEANER_LOCK
from ...report import Failure, Outcome, Report
from ..reaping.cleaning_pass import CleaningPass
from ..reaping.reaper import reap
from ..reaping.turn import come_to_turn
from ..records import journal as journals
from ..records.scope_lock import PATIENCE
from ..records.survey import ScopeSurvey
from .unreachable import clean_own, go_without_scope
from .waiting import wait_until_alone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    from ..reaping.cleaning_pass import Clean
    from .activity import ScopeActivity
    from .origin import ProcessOrigin
    from .recording import JournalWriter

    class LeavingMember(Protocol):
        """The part of a membership that leaving uses."""

        clean: Clean
        patience: float | None
        busy: ScopeActivity
        journal: JournalWriter
        origin: ProcessOrigin

        def exclude_from_forks(self) -> None: ...


class ScopeLeaver:
    """Takes one member out of its scope.

    Args:
        member: the member that leaves.

    Attributes:
        is_out: whether the member is out, or is about to be: other members may count it as
            gone from then on.
    """

    def __init__(self, member: LeavingMember) -> None:
        self._member = member
        self._journal = member.journal
        self._path = member.journal.scope.path
        self.is_out = False

    def leave(self, deadline: Deadline) -> Report:
        """Wait, clean, go; failed cleanups are reported, not raised.

        Raises:
            ScopeBusy: another thread makes or releases an artifact, until the time is over.
        """
        outcomes: list[Outcome] = []
        began = monotonic()

        def attempt(step: Callable[[Deadline], Iterable[Outcome]], until: Deadline) -> None:
            try:
                outcomes.extend(step(until))
            except (LastoutError, OSError) as error:
                outcomes.append(Outcome(f"scope {self._path}", 0.0, Failure(error)))

        can_reach = self._member.origin.can_reach()
        if self._member.patience and can_reach:
            attempt(self._wait, Deadline(self._member.patience))
        if not self._member.busy.close(_patience(deadline)):
            raise ScopeBusy(
                f"another thread of this process makes or releases something in the scope"
                f" {self._path!r}, and did not come to an end; this process stays in it until"
                " it leaves again, or ends",
                path=self._path,
            )
        for step in (self._clean_own, self._go) if can_reach else (self._clean_unlocked,):
            attempt(step, deadline)
        attempt(self._say_so, deadline)
        self.is_out = True
        return Report(outcomes, monotonic() - began)

    def _wait(self, deadline: Deadline) -> Iterable[Outcome]:
        wait_until_alone(self._journal, deadline)
        return ()

    def _clean_own(self, deadline: Deadline) -> Iterator[Outcome]:
        """Clean the artifacts of this member, without the scope's lock, as it may take long."""
        journal = self._journal
        if not journal.owns_things or journal.lost:
            return
        with journal.lock_scope(_patience(deadline)) as held:
            survey = ScopeSurvey(held, self._path)
            written = survey.journal(journal.token)
            if written.begun - written.gone and held.is_taken(CLEANER_LOCK):
                # Another process may be releasing any of these artifacts just now.
                come_to_turn(held, self._path, _patience(deadline))
                survey = ScopeSurvey(held, self._path)
            mine = survey.journal(journal.token).unresolved()
            due = [artifact for artifact in mine if artifact.lifetime == "member"]
            ordered, edges = survey.plan(due)
            if ordered:
                # So that no other process releases them from here on.
                journal.append(journals.mark("begun", [artifact.number for artifact in ordered]))
        yield from CleaningPass(
            lambda _, records: journal.append(records), self._member.clean, deadline
        )(ordered, edges)

    def _clean_unlocked(self, deadline: Deadline) -> Iterable[Outcome]:
        """Clean without the scope, which cannot be locked any more, as far as that is safe."""
        if not self._member.origin.finds_things():
            return ()
        return clean_own(self._journal, self._member.clean, deadline)

    def _go(self, deadline: Deadline) -> Iterator[Outcome]:
        journal, clean = self._journal, self._member.clean
        with journal.scope.lock(_patience(deadline)) as held:
            if held is None or journal.lost:
                is_gone = held is None and journal.lost
                yield from go_without_scope(journal, is_gone, clean, deadline)
                return
            self._member.exclude_from_forks()
            patience = _patience(deadline)
            reaped = reap(held, self._path, clean, deadline, journal.token, patience=patience)
            yield from reaped.outcomes
            if not journal.lost:  # an artifact of this member stays
                journal.append(journals.left(monotonic_ns()))
            # Before the scope is unlocked, so that the next process that decides sees this
            # member gone.
            self.is_out = True
            journal.lock.give_up()

    def _say_so(self, _: Deadline) -> Iterable[Outcome]:
        """Record that this member left, so that none waits for it if the scope was not locked."""
        if not self._journal.lost:
            self.is_out = True
            self._journal.append(journals.left(monotonic_ns()))
        return ()


def _patience(deadline: Deadline) -> Deadline:
    """How long to wait for other threads or processes."""
    return Deadline(deadline.share(False, PATIENCE))
