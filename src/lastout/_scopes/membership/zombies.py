"""Burial: the journals of children that ended, or became another program, with nothing in them.

A child is a member before it is forked, for it may be there to stay.  Most are not: a
program that starts others by way of a fork in Python (`preexec_fn`, gevent's `Popen`,
pexpect) would have a dead member for each of them until somebody joins, leaves or reaps.
So their parent looks now and then, when it forks again:

    forked since the latest look:  few --> nothing
                                   some --> is nobody at the scope? bury those that are dead

It looks the less often the more of them live, so that forking stays as quick as it is.

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

_FEW: Final = 8  # journals that are left lying


class ForkedChildren:
    """The children that this process forked in one scope, and that may be dead by now.

    Args:
        scope: that scope.
    """

    def __init__(self, scope: ScopeRef) -> None:
        self._scope = scope
        self._tokens: list[str] = []
        self._enough = _FEW

    def add(self, token: str) -> None:
        """One was forked, and is this member."""
        self._tokens.append(token)

    def wait_for_zombies(self) -> None:
        """Remove the empty journals of those that are dead, if there may be some of them."""
        if len(self._tokens) < self._enough:
            return
        try:
            # Not waited for: somebody forks.
            with self._scope.lock(Deadline(0)) as held:
                there = held.members() if held else ()
                self._tokens = [
                    token
                    for token in self._tokens
                    if token in there and held and not _bury(held, token, self._scope.path)
                ]
        except (LastoutError, OSError):
            return  # the next fork, or whoever joins, leaves or reaps
        self._enough = 2 * len(self._tokens) + _FEW


def _bury(held: LockedScope, token: str, path: str) -> bool:
    """Remove its journal, if it is dead and has nothing; whether there is nothing more to do."""
    written = b""

    def read(token: str) -> journals.Journal:
        nonlocal written
        written = held.read(token)
        return journals.parse(token, written, path)

    journal = liveness.find_dead(held, token, read)
    if journal is None:
        return False
    # Read again: it may have written until just before.
    if not (journal.made or journal.damage) and held.read(token) == written:
        held.forget(token)
    return True
