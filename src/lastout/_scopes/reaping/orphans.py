"""Orphans: workers whose parent has ended; they end too, as they said when they joined.

They are members, and nothing that they may use is touched while they live.  So
they are asked to end first (SIGTERM, so that their handlers run), killed when
their grace is over, and cleaned up after like any other member.  A worker that
ends by a signal already is not asked again, because that would cut its handlers off.

There are two ways because each works where the other cannot.  From within: a thread of the
worker waits for the parent and sends SIGTERM to its own process, once (`_exits/parent.py`).
That takes no scope and no guardian, so `end_with_parent` has it, and the workers of
`integrations/pools.py`, whose parent `integrations/orphans.py` finds; but a worker that hangs is
not killed by it.  From outside, here: `membership/workers.py` has the worker write down its
parent and its grace, so that other processes can end it, by SIGKILL too.  The guardian does (its
job "orphans"), or a process that reaps (both `end_in`).  The parent itself does when it ends by a
signal (`end_own`), before it leaves, because no other process can if its cgroup is killed with it.
A worker that the first way ends says so (`terminates_itself`), and is only killed by the second.

Tested by: tests/shared/test_orphans.py
"""

from __future__ import annotations

import os
import signal
from time import monotonic

from ..._exits.ending import daemons
from ..._identity import has_ended, is_running
from ..._platform.process_ends import ask_to_end, hold_if, send, wait_for_ends
from ...deadline import Deadline
from ...errors import CleanupTimeout, LastoutError
from ...layout import ORPHANS_LOCK
from ...report import Failure, Outcome
from ..kinds.process_groups import LAST_PATIENCE
from ..records import journal as journals
from ..records.journal_header import identity_in_header
from .turn import lineage, wait_until_free

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from typing import Protocol

    from ..._identity import Identity
    from ...backends.base import Lock, LockedScope
    from ..records.journal import Journal
    from ..records.scope_lock import ScopeRef

    class OwnJournal(Protocol):
        """The journal of this process; see `JournalWriter`."""

        scope: ScopeRef

        def lock_scope(self) -> AbstractContextManager[LockedScope]: ...


def end_in(held: LockedScope, scope: str) -> tuple[list[Outcome], bool]:
    """End the orphans of a scope, unlocked meanwhile; returns outcomes, and whether all ended.

    One process does so at a time, because a second SIGTERM would cut short the handlers of a
    worker.  A second process waits for the first, unless that may wait for it.

    Raises:
        ScopeGone, ScopeBusy: the scope could not be locked again.
        OSError: no descriptors are left for pidfds.
    """
    every = orphans(held, scope)
    found = [one for one in every if one.who.pid != os.getpid()]
    if not found:
        return [], False
    if held.is_taken(ORPHANS_LOCK):
        if {one.who.pid for one in every}.intersection(lineage()):
            return [], False
        longest = max(one.grace for one in found) + 2 * LAST_PATIENCE
        if wait_until_free(held, scope, ORPHANS_LOCK, Deadline(longest)):
            return [], True
    lock = _take(held)
    held.let_go()  # because the orphans have to be able to leave
    try:
        ended = end(found)
    finally:
        if lock:
            lock.give_up()
    return ended, all(outcome.failure is None for outcome in ended)


def _take(held: LockedScope) -> Lock | None:
    try:
        return held.take(ORPHANS_LOCK)
    except (LastoutError, OSError):
        return None  # no room for the lock file, so two processes may end orphans at once


def orphans(held: LockedScope, scope: str) -> list[Journal]:
    """The living workers in a scope whose parent has ended, oldest first."""
    return _workers(held, scope, has_ended)


def _workers(held: LockedScope, scope: str, of: Callable[[Identity], bool]) -> list[Journal]:
    """The living workers in a scope whose parent fulfils `of`, oldest first."""
    found = []
    for member in held.members():
        try:
            data = held.read(member)
            # The header first, because journals can be long, and few belong to orphans.
            parent = identity_in_header(data, b"worker")
            if parent is None or not of(parent):
                continue
            journal = journals.parse(member, data, scope)
        except (LastoutError, OSError):
            continue  # the next reap reports it
        if journal.parent and of(journal.parent) and _can_be_ended(journal):
            found.append(journal)
    return sorted(found, key=lambda one: one.joined_ns)


def _can_be_ended(journal: Journal) -> bool:
    return not journal.left and is_running(journal.who)


def end_own(journal: OwnJournal) -> list[Outcome]:
    """End the workers of this process, except workers that multiprocessing ends.

    Raises:
        ScopeGone, ScopeBusy: the scope could not be locked.
        OSError: no descriptors are left for pidfds.
    """
    spared = daemons() | {os.getpid()}  # this process names itself if it outlives its parent
    with journal.lock_scope() as held:
        found = _workers(held, journal.scope.path, _is_this_process)
    return end([one for one in found if one.who.pid not in spared], ask_all=True)


def _is_this_process(who: Identity) -> bool:
    return who.pid == os.getpid() and is_running(who)


def end(workers: Iterable[Journal], ask_all: bool = False) -> list[Outcome]:
    """End these processes, each with the grace that it asked for; returns the outcomes.

    Args:
        workers: the journals of the processes.
        ask_all: whether to send SIGTERM even to workers that terminate themselves once their
            parent has ended.

    Raises:
        OSError: no descriptors are left for pidfds.
    """
    began = monotonic()
    held: list[tuple[Journal, int]] = []
    try:
        for journal in workers:
            process = _hold(journal)
            if process is not None:
                held.append((journal, process))
                _ask_to_end(journal, process, ask_all)
        for journal, process in sorted(held, key=lambda one: one[0].grace):
            left = max(0.0, began + journal.grace - monotonic())
            if not wait_for_ends([process], left):
                send(process, signal.SIGKILL)
        last = Deadline(LAST_PATIENCE)
        return [
            _outcome(journal, monotonic() - began, wait_for_ends([process], last.left()))
            for journal, process in held
        ]
    finally:
        for _, process in held:
            os.close(process)


def _ask_to_end(journal: Journal, process: int, ask_all: bool) -> None:
    if ask_all or not journal.terminates_itself:
        assert journal.who.pid is not None
        ask_to_end(process, journal.who.pid)
    else:
        send(process, signal.SIGCONT)  # a stopped worker could not ask itself to end


def _hold(journal: Journal) -> int | None:
    """A pidfd of the process of this worker; `None` if it has ended."""
    assert journal.who.pid is not None
    return hold_if(journal.who.pid, lambda: is_running(journal.who))


def _outcome(journal: Journal, seconds: float, ended: bool) -> Outcome:
    name = f"worker {journal.who.pid}"
    if ended:
        return Outcome(name, seconds, None)
    error = CleanupTimeout(
        f"the {name}, whose parent has ended, did not end even by SIGKILL",
        kind="worker",
        location=str(journal.who.pid),
    )
    return Outcome(name, seconds, Failure(error))
