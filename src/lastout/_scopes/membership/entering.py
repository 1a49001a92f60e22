"""Entering: join a scope, after cleaning up after its dead members.

Tested by: tests/shared/test_joining.py
"""

from __future__ import annotations

from time import monotonic_ns

from ..._exits.forkserver import is_forkserver
from ..._identity import here, new_token
from ...deadline import Deadline
from ...errors import JournalTooNew
from ...report import Report
from ..reaping.reaper import reap
from ..records import journal as journals
from ..records import liveness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...backends.base import JournalLock, LockedScope
    from ...report import Outcome
    from ..reaping.cleaning_pass import Clean
    from ..records.scope_lock import ScopeRef


def enter_scope(scope: ScopeRef, clean: Clean) -> tuple[JournalLock, Report]:
    """Clean up after dead members, then publish a new journal; returns both.

    Raises:
        JournalTooNew: a newer lastout is in the scope.
        ScopeBusy, SystemRefused, RootRefused: the scope cannot be used.
    """
    cleaned: list[Outcome] = []
    while True:
        with scope.lock(create=True) as held:
            assert held is not None
            if held.members():
                reaped = reap(held, scope.path, clean, Deadline(), joining=True)
                cleaned += reaped.outcomes
                _refuse_newer(cleaned)
                if reaped.swept:
                    continue  # the scope was removed, because only dead members were in it
            return _publish(held), Report(cleaned)


def _refuse_newer(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.failure and isinstance(outcome.failure.exception, JournalTooNew):
            raise outcome.failure.exception


def _publish(held: LockedScope) -> JournalLock:
    # Without an image, because a process that joined by itself stays a member after an `exec`.
    who = here()
    who.image = 0
    token = liveness.new_helper_token() if is_forkserver() else new_token()
    return held.publish(token, journals.header(token) + journals.join(monotonic_ns(), who))


def reap_dead(scope: ScopeRef, clean: Clean) -> Report | None:
    """Clean up after dead members and report it; `None` if there is no such scope."""
    with scope.lock() as held:
        return Report(reap(held, scope.path, clean, Deadline()).outcomes) if held else None
