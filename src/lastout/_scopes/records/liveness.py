"""Liveness: the whole rule when a member is dead, and the rule by which a guardian wakes.

Both rules are functions of plain values.  The functions below read the values for the whole
rule.  The guardian reads the values for its own rule, and sees less: the beginning of a
journal, and the kernel's events.  Every member that is dead by the whole rule wakes the
guardian.

Tested by: tests/shared/test_reaper.py, tests/properties/test_liveness.py,
    tests/shared/test_watch.py
"""

from __future__ import annotations

import os
from enum import Enum

from ..._identity import comparable, has_ended, has_executed, new_token, running_process
from ..._platform import interpreter_id
from ...layout import HELPER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...backends.base import LockedScope
    from .journal import Journal

# The tokens of this interpreter's own memberships; see `_is_ours`.
ours: set[str] = set()


def counts_as_dead(
    *, locked: bool, left: bool, is_ours: bool | None, runs: bool, executed: bool, made: bool
) -> bool:
    """The rule: whether a member is dead, for good.

    its lock is held            alive, regardless of the rest
    it wrote "left"             dead, though its process may live on
    it is of this interpreter   alive if that knows of it
    its process runs            alive: it lost its descriptors, as daemons do
    otherwise                   dead

    Args:
        locked: whether a process holds its lock.
        left: whether it recorded that it left.
        is_ours: whether this interpreter knows that it is this member; `None` if the member
            belongs to another interpreter.
        runs: whether its process runs, as far as can be known from here.
        executed: whether its process has replaced its program by `exec`.
        made: whether it ever recorded an artifact.
    """
    if locked:
        return False
    if left:
        return True
    if is_ours is not None:
        return not is_ours
    # A forked child that only executed another program, as with `preexec_fn`, does not use the
    # scope; a member that made an artifact does.
    return not runs or (executed and not made)


class WatchState(Enum):
    """The event that a guardian waits for, to learn that a member is dead."""

    FOLLOWED = "the end of its process"
    SILENT = "a moment, in which it is to say who it is"
    LOCKED = "its lock: nothing else tells that it lives"
    ENDED = "the next look: its process has ended, and its lock was not looked at since"
    DEAD = "nothing: a job was asked for since it died"


def watch_state(
    *, named: bool, follows: bool, before: WatchState | None, locked: bool
) -> WatchState:
    """The guardian's rule: the event to wait for, as seen by one look.

    A guardian sees neither "left" nor artifacts, so it takes more members for alive than the
    whole rule does, but no member whose process has ended and whose lock is free.

    Args:
        named: whether the journal names the member's process.
        follows: whether that process runs, and its end is an event.
        before: the state up to now; `None` at the first look.
        locked: whether a process holds its lock; true if not known.
    """
    if follows:
        return WatchState.FOLLOWED
    if not named and before not in (WatchState.SILENT, WatchState.LOCKED):
        return WatchState.SILENT
    return WatchState.LOCKED if locked else WatchState.DEAD


def find_dead(held: LockedScope, token: str, read: Callable[[str], Journal]) -> Journal | None:
    """The journal of a member that is dead; `None` if it is alive.

    Args:
        held: the locked scope.
        token: the member.
        read: reads its journal; not called while that is locked, as it may be long or damaged.

    Raises:
        LastoutError, OSError: it is not known whether the member is dead.
    """
    if held.is_held(token):
        return None
    journal = read(token)
    return journal if is_dead(journal) else None


def is_dead(journal: Journal) -> bool:
    """Whether a member whose lock is free is dead.

    Raises:
        OSError: the system does not say whether its process runs.
    """
    mine = _is_ours(journal)
    # Only asked if it decides, because it can fail.
    process = None if journal.left or mine is not None else running_process(journal.who)
    return counts_as_dead(
        locked=False,
        left=journal.left,
        is_ours=mine,
        runs=process is not None,
        executed=process is not None and has_executed(journal.who, process),
        made=bool(journal.made),
    )


def _is_ours(journal: Journal) -> bool | None:
    """Whether this interpreter is that member; `None` if the member is another interpreter."""
    who = journal.who
    if who.pid != os.getpid() or not comparable(who) or who.interpreter != interpreter_id():
        return None
    # False for a membership of this very process before an exec, or before it joined anew.
    return journal.token in ours


def is_orphan(journal: Journal) -> bool:
    """Whether the member was to end with a process that has ended."""
    return journal.parent is not None and has_ended(journal.parent)


def new_helper_token(what: str = "") -> str:
    """A token for a member that keeps no scope from ending: a fork server, or `what` it is."""
    return f"{new_token()}{what and '-'}{what}{HELPER}"


def is_helper(token: str) -> bool:
    """Whether a member only serves other members, and does not keep the scope without them."""
    return token.endswith(HELPER)


def helps_as(token: str) -> str:
    """The role of a helper, such as `fork server`."""
    return token.removesuffix(HELPER).partition("-")[2] or "fork server"
