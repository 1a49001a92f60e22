"""Reaper: find the dead, plan, clean, report.  Leaving is reaping oneself.

    Held --Survey--> who is gone, who lives --plan--> order --Run--> Outcomes

The scope is held all the while, so one process at a time looks and cleans, and
whoever is killed in the middle frees it for the next.
"""

from __future__ import annotations

from ..errors import LastoutError
from .run import Run
from .survey import Survey, problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._process.deadline import Deadline
    from .._process.report import Outcome
    from ..backends.base import Held
    from .run import Clean


def reap(
    held: Held,
    path: str,
    clean: Clean,
    deadline: Deadline,
    leaving: str = "",
    joining: bool = False,
) -> Reaped:
    """Clean up after everyone who is dead, and after `leaving` as if it were.

    What belongs to the scope goes when nobody is left alive; then the scope
    itself goes too, if nothing had to stay.  With `joining` somebody is about to come in,
    and may use what helpers have made.
    """
    survey = Survey(held, path, leaving, joining)
    last = not survey.living
    ordered, edges = survey.plan(survey.due(), last)
    run = Run(held.append, clean, deadline)
    outcomes = list(run(ordered, edges))
    swept = False
    try:
        swept = _put_away(held, survey, run.cleaned, last, f"scope {path}")
    except (LastoutError, OSError) as error:
        survey.problems.append(problem(f"scope {path}", error))
    if run.unmarked and not swept:
        survey.problems.append(problem(f"scope {path}", run.unmarked))
    ended = any(one.kind == "popen" and one.id in run.cleaned for one in ordered)
    return Reaped([*survey.problems, *outcomes], swept, ended and not run.unmarked)


class Reaped:
    """What a reaping did.

    Attributes:
        outcomes: how each step ended.
        swept: whether the scope is no more.
        ended: whether processes were ended, which may have been members.
    """

    __slots__ = ("ended", "outcomes", "swept")

    def __init__(self, outcomes: Sequence[Outcome], swept: bool, ended: bool) -> None:
        self.outcomes = outcomes
        self.swept = swept
        self.ended = ended


def _put_away(held: Held, survey: Survey, cleaned: set[str], last: bool, scope: str) -> bool:
    """Remove the journals in which nothing is left, or the whole scope; whether it was that."""
    empty = [
        journal.token
        for journal in survey.gone
        if not journal.damage and all(artifact.id in cleaned for artifact in journal.unresolved())
    ]
    if last and len(empty) == len(survey.gone):
        remains = held.sweep()
        if remains:
            survey.problems.append(problem(scope, remains))
        return True
    for member in empty:
        if member not in survey.helpers:  # it goes on, and may make more
            held.forget(member)
    return False
