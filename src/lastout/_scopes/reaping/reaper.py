"""Reaper: find dead members, plan, clean, report.  A member leaves by reaping itself.

    Held --Survey--> who is gone, who lives --plan--> order --Run--> Outcomes

The scope stays locked, except while an artifact has to be waited for (see `turn`), so one
process at a time cleans.  If that process is killed, the kernel unlocks the scope for the next.

Tested by: tests/shared/test_reaper.py, tests/shared/test_turn.py
"""

from __future__ import annotations

from ...deadline import Deadline
from ...errors import LastoutError, ScopeGone
from ...layout import CLEANER_LOCK
from ..kinds.table import flags
from ..records.scope_lock import PATIENCE
from ..records.survey import ScopeSurvey, problem
from .cleaning_pass import CleaningPass
from .turn import CleaningTurn, come_to_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...backends.base import LockedScope
    from ...report import Outcome
    from .cleaning_pass import Clean


def reap(
    held: LockedScope,
    path: str,
    clean: Clean,
    deadline: Deadline,
    leaving: str = "",
    joining: bool = False,
    patience: Deadline | None = None,
) -> Reaped:
    """Clean up after every dead member, and after `leaving` as if it were dead.

    Artifacts with lifetime `scope` are cleaned when no member is left alive; then the scope
    is removed too, if no artifact had to stay.  `joining` says that a process is about to
    join, which may use the artifacts of helpers.

    If another process is cleaning, this process waits for it, and then surveys the scope anew.
    It does not wait if the other process may wait for it in turn, or if it leaves and living
    members remain.

    Raises:
        ScopeBusy: another process cleaned for longer than `patience`, a minute if `None`.
    """
    done: list[Outcome] = []
    try:
        if held.is_taken(CLEANER_LOCK):
            others = leaving and ScopeSurvey(held, path, leaving).living
            if others or not come_to_turn(held, path, patience or Deadline(PATIENCE)):
                return Reaped(done, False, False)
        with CleaningTurn(held, path) as turn:
            run = CleaningPass(held.append, clean, deadline, turn.apart)
            survey, ended = _clean_all(
                lambda: ScopeSurvey(held, path, leaving, joining), turn, run, done
            )
            swept = _finish(held, survey, f"scope {path}", run)
            return Reaped([*survey.problems, *done], swept, ended and not run.unmarked)
    except ScopeGone:
        return Reaped(done, True, False)


def _clean_all(
    survey_anew: Callable[[], ScopeSurvey],
    turn: CleaningTurn,
    run: CleaningPass,
    done: list[Outcome],
) -> tuple[ScopeSurvey, bool]:
    """Clean all due artifacts; returns the last survey, and whether processes were ended.

    Each time that the scope was let go of, a new survey decides which member is last.
    """
    ended = False
    while True:
        turn.stale = False
        survey = survey_anew()
        ordered, edges = survey.plan(survey.due(), not survey.living)
        for outcome in run(ordered, edges):
            done.append(outcome)
            if turn.stale:
                break
        ended |= any(flags(one.kind).ends_processes and one.id in run.cleaned for one in ordered)
        if not turn.stale:
            return survey, ended


def _finish(held: LockedScope, survey: ScopeSurvey, scope: str, run: CleaningPass) -> bool:
    """Remove empty journals, and report problems; returns whether the scope was removed."""
    swept = False
    try:
        swept = _put_away(held, survey, run.cleaned, scope)
    except (LastoutError, OSError) as error:
        survey.problems.append(problem(scope, error))
    if run.unmarked and not swept:
        survey.problems.append(problem(scope, run.unmarked))
    return swept


class Reaped:
    """The result of reaping a scope.

    Attributes:
        outcomes: how each step ended.
        swept: whether the scope was removed.
        ended: whether processes were ended, which may have been members.
    """

    __slots__ = ("ended", "outcomes", "swept")

    def __init__(self, outcomes: Sequence[Outcome], swept: bool, ended: bool) -> None:
        self.outcomes = outcomes
        self.swept = swept
        self.ended = ended


def _put_away(held: LockedScope, survey: ScopeSurvey, cleaned: set[str], scope: str) -> bool:
    """Remove journals without remaining artifacts, or the scope; returns whether the latter."""
    empty = [
        journal.token
        for journal in survey.departed
        if not journal.damage and all(artifact.id in cleaned for artifact in journal.unresolved())
    ]
    if not survey.living and len(empty) == len(survey.departed):
        remains = held.sweep()
        if remains:
            survey.problems.append(problem(scope, remains))
        return True
    for member in empty:
        if member not in survey.helpers:  # a helper goes on, and may make more artifacts
            held.forget(member)
    return False
