"""Whether a member is alive, as all others see it.

its lock is held    alive
it wrote "left"     dead
its process runs    alive: it lost its descriptors, as daemons do
otherwise           dead, for good
"""

from __future__ import annotations

import os

from ..._identity import comparable, is_running, new_token
from ..._platform import interpreter_id
from ...layout import HELPER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .journal import Journal

# The members that this interpreter is; see `is_dead`.
ours: set[str] = set()


def new_helper_token(what: str = "") -> str:
    """A name for a member that keeps no scope from ending: a fork server, or what else it is."""
    return f"{new_token()}{what and '-'}{what}{HELPER}"


def is_helper(token: str) -> bool:
    """Whether a member only serves others: once they have left, it keeps nothing."""
    return token.endswith(HELPER)


def helps_as(token: str) -> str:
    """What a helper is."""
    return token.removesuffix(HELPER).partition("-")[2] or "fork server"


def is_orphan(journal: Journal) -> bool:
    """Whether its process was to end with another one that has ended."""
    parent = journal.parent
    return parent is not None and comparable(parent) and not is_running(parent)


def is_dead(journal: Journal) -> bool:
    """Whether a member whose lock is free is dead."""
    if journal.left:
        return True
    who = journal.who
    if who.pid == os.getpid() and comparable(who) and who.interpreter == interpreter_id():
        # This very process, before an exec or before it joined anew: it would
        # know of it if it were one of its own.
        return journal.token not in ours
    # A forked child that only went on to run another program, as `preexec_fn`
    # makes them, has no part in the scope; one that made something has.
    return not is_running(who, same_program=not journal.made)
