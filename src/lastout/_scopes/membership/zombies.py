"""ForkedChildren: removes the empty journals of children that ended or executed a program.

A child becomes a member before it is forked, because it may use the scope.  Most children
do not: a program that starts programs by a fork in Python (`preexec_fn`, gevent's `Popen`,
pexpect) would leave a dead member for each until a process joins, leaves or reaps.  So the
parent looks now and then, when it forks again:

    children forked since the last look:  few --> do nothing
                                          many --> remove dead members, unless the scope is locked

The more children live, the less often it looks, so that forking stays quick.

Tested by: tests/shared/test_burial.py
"""

from __future__ import annotations

from ...deadline import Deadline
from ...errors import LastoutError
from ..records import journal as journals
from ..records import liveness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ...backends.base import LockedScope
    from ..records.scope_lock import ScopeRef

_FEW: Final = 8  # journals that may stay


class ForkedChildren:
    """The children that this process forked in one scope, and that may be dead by now.

    Args:
        scope: the scope.
    """

    def __init__(self, scope: ScopeRef) -> None:
        self._scope = scope
        self._tokens: list[str] = []
        self._enough = _FEW

    def add(self, token: str) -> None:
        """Add a child that was forked as this member."""
        self._tokens.append(token)

    def wait_for_zombies(self) -> None:
        """Remove the empty journals of dead children, if there may be enough of them."""
        if len(self._tokens) < self._enough:
            return
        try:
            # Without waiting, because a thread is about to fork.
            with self._scope.lock(Deadline(0)) as held:
                there = held.members() if held else ()
                self._tokens = [
                    token
                    for token in self._tokens
                    if token in there and held and not _bury(held, token, self._scope.path)
                ]
        except (LastoutError, OSError):
            return  # a later fork removes them, or the next process to join, leave or reap
        self._enough = 2 * len(self._tokens) + _FEW


def _bury(held: LockedScope, token: str, path: str) -> bool:
    """Remove the journal of a dead member without artifacts; returns whether it is dead."""
    written = b""

    def read(token: str) -> journals.Journal:
        nonlocal written
        written = held.read(token)
        return journals.parse(token, written, path)

    journal = liveness.find_dead(held, token, read)
    if journal is None:
        return False
    # Read again, because the member may have written after the first reading.
    if not (journal.made or journal.damage) and held.read(token) == written:
        held.forget(token)
    return True
