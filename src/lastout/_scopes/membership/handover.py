"""Hand-over: a forked child is a member from its first moment.

    before the fork    the parent publishes and locks a journal for the child
    in the child       that journal becomes its own; the parent's is closed, not unlocked
    in the parent      the child's journal is closed

The parent is a living member all the while, so the scope cannot be removed, and the
child's journal is locked at every moment.  A child that joined by itself would be too
late whenever its parent forks and leaves.

Tested by: tests/shared/test_handover.py
"""

from __future__ import annotations

from ..._exits import children, started
from ..._identity import here
from ..._platform import show_unraisable
from ...backends import descriptors
from ...errors import LastoutError
from ..records import journal as journals
from ..records.liveness import new_helper_token
from . import outside
from .membership import joined
from .zombies import ForkedChildren

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...backends.base import JournalLock
    from .membership import Membership

_following = False
_handed: list[tuple[Membership, JournalLock | None]] = []
_locked_out: list[bool] = []
_children: dict[str, ForkedChildren] = {}  # of this process, by its token in each scope


def follow() -> None:
    """Hand over at every fork from now on."""
    global _following
    if _following:
        return
    locked_out = descriptors.lock_out_forks()
    try:
        if not _following:  # two threads may join for the first time at once
            children.follow_forks(_before, _in_parent, _in_child)
            _following = True
    finally:
        descriptors.let_in_forks(locked_out)


def _before() -> None:
    # Locked until the fork is done, so that threads fork one at a time, and never while a thread
    # opens a descriptor that a child would have to close.
    _locked_out.append(descriptors.lock_out_forks())
    _handed.clear()
    # A list first, because other threads join and leave meanwhile.
    memberships = [one for one in list(joined.values()) if _takes_along(one)]
    for one in memberships:
        _bury_children_of(one)
    process = started.process_to_fork() if memberships else None
    _handed.extend((one, _publish_for_child(one, process)) for one in memberships)
    for one in memberships:
        if one.guardian.wanted:
            one.guardian.look()


def _bury_children_of(membership: Membership) -> None:
    children = _children.get(membership.token)
    if children:
        children.wait_for_zombies()


def _takes_along(membership: Membership) -> bool:
    return (
        membership.can_hand_over()
        and membership.origin.can_reach()
        and not outside.starts_outside(membership.path)
    )


def _publish_for_child(membership: Membership, process: Any) -> JournalLock | None:
    """Make the child's journal; a process of a library has its parent recorded in it."""
    try:
        grace = membership.workers.grace() if started.is_of_no_use_alone(process) else None
        more = b"" if grace is None else journals.worker(here(), grace)
        token = new_helper_token("manager") if started.is_manager(process) else ""
        return membership.journal.publish_for_another(token, more)
    except (LastoutError, OSError):
        return None  # the child joins by itself, and shows the error if it cannot


def _in_parent() -> None:
    try:
        for membership, journal_lock in _handed:
            if journal_lock:
                journal_lock.close()
                children = _children.setdefault(membership.token, ForkedChildren(membership.scope))
                children.add(journal_lock.member)
        _forget_children()
        _handed.clear()
    finally:
        descriptors.let_in_forks(_locked_out.pop())


def _forget_children() -> None:
    """Forget the children in scopes that this process has left: the last member cleans there."""
    ours = {membership.token for membership, _ in _handed}
    for token in _children.keys() - ours:
        del _children[token]


def _in_child() -> None:
    # If Ctrl-C comes in the middle this is called again, and goes on with the rest.
    _locked_out.clear()
    _children.clear()
    outside.forget()
    for membership, journal_lock in _handed:
        # A child without a journal of its own keeps its parent's for the moment.
        (journal_lock or membership.journal.lock).inherit()
    descriptors.close_inherited()
    handed = [membership for membership, _ in _handed]
    for membership in list(joined.values()):
        # A thread of the parent may have been joining just then; it is not in this process.
        if membership.counted_out or not (membership in handed or membership.origin.is_here()):
            membership.stay_outside()
    while _handed:
        membership, journal_lock = _handed[-1]
        try:
            membership.become_child(journal_lock) if journal_lock else membership.join_late()
        except (LastoutError, OSError) as error:
            show_unraisable(error, _in_child)
        _handed.pop()
