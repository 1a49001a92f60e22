"""Lease: whether a member is alive, as all others see it.

its lock is held    alive
it wrote "left"     dead
its process runs    alive: it lost its descriptors, as daemons do
otherwise           dead, for good
"""

from __future__ import annotations

import os

from .._identity import comparable, is_running
from .._platform import interpreter_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .journal import Journal

# The members that this interpreter is; see `is_dead`.
ours: set[str] = set()


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
