"""Placeholder: a member for the controller, which does not know yet that there is a scope.

A journal that names a process counts as a living member for as long as that process
runs, even if it is not locked.  So the first worker to join writes such a journal for the
controller: from then on the scope lasts even if all workers are killed, and a run without
shared fixtures costs the controller nothing.

    worker      join, and write the placeholder if there is none
    controller  join with its own lock, and record in the placeholder that it has left

Tested by: tests/pytest_plugin/test_crashes.py, tests/pytest_plugin/test_faults.py
"""

from __future__ import annotations

import os
from time import monotonic_ns

from ..._identity import Identity, new_token
from ..._scopes.reaping.recovery import reap
from ..._scopes.records import journal as journals
from ..._scopes.records import liveness
from ..._scopes.records.scope_lock import ScopeRef
from ..._scopes.records.survey import ScopeSurvey
from ..._scopes.scope import Scope
from ...backends.local import LocalBackend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...report import Outcome


def add_placeholder(who: Identity, scope: Scope) -> None:
    """Write a journal that makes the process `who` a member of the scope, unless it is."""
    who.image = 0  # so that it counts as the same process after an `exec`
    with scope._membership().journal.lock_scope() as held:
        survey = ScopeSurvey(held, scope.path)
        if any(survey.journal(token).who.pid == who.pid for token in survey.living):
            return
        token = new_token()
        records = journals.header(token) + journals.join(monotonic_ns(), who)
        held.publish(token, records).close()


def replace_placeholder(root: str, name: str, wait: float) -> Scope:
    """Join as the process that a placeholder was written for, and end the placeholder."""
    ref, mine = ScopeRef(LocalBackend(root), name), os.getpid()
    with ref.lock() as held:
        members = held.members() if held else []
        pids = {
            one: journals.parse(one, held.read(one), ref.path).who.pid for one in members if held
        }
    tokens = [token for token, pid in pids.items() if pid == mine]
    # Else the placeholder would count as a dead former membership of this very process.
    liveness.ours.update(tokens)
    try:
        scope = Scope(name, root=root, wait=wait)
    finally:
        liveness.ours.difference_update(tokens)
    with scope._membership().journal.lock_scope() as held:
        for token in tokens:
            held.append(token, journals.left(monotonic_ns()))
    return scope


def reap_scopes(
    root: str | None, prefix: str, but: str | None = None
) -> Iterator[tuple[str, Outcome]]:
    """Reap the scopes whose names begin with `prefix`, but not with `but`; returns failures."""
    for name in LocalBackend(root).scopes():
        if name.startswith(prefix) and not (but and name.startswith(but)):
            for outcome in reap(root, name):
                if outcome.failure:
                    yield name, outcome
