"""Lease: whether a member is alive, as all others see it.

it wrote "left"                 dead, whoever still has its lock
its lock is held                alive
its process runs                alive: it lost its descriptors, as daemons do
otherwise                       dead, for good
"""

from __future__ import annotations

import os

from .. import _platform
from .._identity import comparable, is_running
from . import journal as journals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..backends.base import Held
    from .journal import Journal

# The members that this interpreter is; see `is_dead`.
ours: set[str] = set()

_TAIL = 64  # bytes; a "left" record is shorter


def survey(held: Held, member: str) -> bool:
    """Whether the lock of this member is held and it did not leave: then it is alive."""
    tail = held.end_if_held(member, _TAIL)
    return tail is not None and not journals.ends_with_left(tail)


def is_dead(journal: Journal) -> bool:
    """Whether a member whose lock is free is dead."""
    if journal.left:
        return True
    who = journal.who
    if who.pid == os.getpid() and comparable(who) and who.interpreter == _platform.interpreter_id():
        # This very process, before an exec or before it joined anew: it would
        # know of it if it were one of its own.
        return journal.token not in ours
    # A forked child that only went on to run another program, as `preexec_fn`
    # makes them, has no part in the scope; one that made something has.
    return not is_running(who, same_program=not journal.made)
