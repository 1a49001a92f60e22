"""Leave: the way out of a scope, which is reaping oneself."""

from __future__ import annotations

from functools import partial
from time import monotonic, monotonic_ns

from ...deadline import Deadline
from ...errors import LastoutError, ScopeBusy
from ...layout import CLEANER_LOCK
from ...report import Failure, Outcome, Report
from ..reaping.cleaning_pass import CleaningPass
from ..reaping.reaper import reap
from ..reaping.turn import come_to_turn
from ..records import journal as journals
from ..records.scope_lock import PATIENCE, hold
from ..records.survey import ScopeSurvey
from .unreachable import clean_own, go_without_scope
from .waiting import wait_until_alone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .membership import Membership


class ScopeLeaver:
    """Takes one member out of its scope.

    Attributes:
        is_out: whether it is, or is about to be: from then on others take it for gone.
    """

    def __init__(self, membership: Membership) -> None:
        self._us = membership
        self.is_out = False

    def leave(self, deadline: Deadline) -> Report:
        """Wait, clean, go; no cleanup that fails comes out of here.

        Raises:
            ScopeBusy: another thread makes or releases something, until the time is over.
        """
        outcomes: list[Outcome] = []
        began = monotonic()

        def attempt(step: Callable[[Deadline], Iterable[Outcome]], until: Deadline) -> None:
            try:
                outcomes.extend(step(until))
            except (LastoutError, OSError) as error:
                outcomes.append(Outcome(f"scope {self._us.path}", 0.0, Failure(error)))

        can_reach = self._us.can_reach()
        if self._us.patience and can_reach:
            attempt(self._wait, Deadline(self._us.patience))
        if not self._us.busy.close(_patience(deadline)):
            raise ScopeBusy(
                f"another thread of this process makes or releases something in the scope"
                f" {self._us.path!r}, and did not come to an end; this process stays in it until"
                " it leaves again, or ends",
                path=self._us.path,
            )
        if can_reach:
            attempt(self._clean_own, deadline)
            attempt(self._go, deadline)
        else:
            attempt(partial(clean_own, self._us), deadline)
        attempt(self._say_so, deadline)
        return Report(outcomes, monotonic() - began)

    def _wait(self, deadline: Deadline) -> Iterable[Outcome]:
        wait_until_alone(self._us, deadline)
        return ()

    def _clean_own(self, deadline: Deadline) -> Iterator[Outcome]:
        """What goes with this member; the scope is free meanwhile, for it may take long."""
        us = self._us
        if not us.owns_things or us.journal_lock.lost:
            return
        with us.hold(_patience(deadline)) as held:
            survey = ScopeSurvey(held, us.path)
            journal = survey.journal(us.token)
            if journal.begun - journal.gone and held.is_taken(CLEANER_LOCK):
                # Perhaps by one that releases it just now.
                come_to_turn(held, us.path, _patience(deadline))
                survey = ScopeSurvey(held, us.path)
            mine = survey.journal(us.token).unresolved()
            due = [artifact for artifact in mine if artifact.lifetime == "member"]
            ordered, edges = survey.plan(due)
            if ordered:
                # From here on nobody else will release them.
                us.append(journals.mark("begun", [artifact.number for artifact in ordered]))
        yield from CleaningPass(lambda _, records: us.append(records), us.clean, deadline)(
            ordered, edges
        )

    def _go(self, deadline: Deadline) -> Iterator[Outcome]:
        us = self._us
        with hold(us.backend, us.name, us.path, _patience(deadline)) as held:
            if held is None or us.journal_lock.lost:
                yield from go_without_scope(us, held is None and us.journal_lock.lost, deadline)
                return
            us.exclude_from_forks()
            patience = _patience(deadline)
            reaped = reap(held, us.path, us.clean, deadline, us.token, patience=patience)
            yield from reaped.outcomes
            if not us.journal_lock.lost:  # something of ours stays
                us.append(journals.left(monotonic_ns()))
            # Inside the hold: whoever decides next sees us gone.
            self.is_out = True
            us.journal_lock.give_up()

    def _say_so(self, _: Deadline) -> Iterable[Outcome]:
        """Where the scope could not be held, at least nobody waits for us while we run on."""
        us = self._us
        if not us.journal_lock.lost:
            self.is_out = True
            us.append(journals.left(monotonic_ns()))
        return ()


def _patience(deadline: Deadline) -> Deadline:
    """For how long to wait for others, threads or processes."""
    return Deadline(deadline.share(False, PATIENCE))
