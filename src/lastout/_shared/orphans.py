"""Orphans: workers whose parent has ended; they end too, as they said when they joined.

They are members, and nothing that they may use is touched while they live.  So
they are asked to end first (SIGTERM, so that their handlers run), killed when
their grace is over, and cleaned up after like any other member.
"""

from __future__ import annotations

import os
import signal
from time import monotonic

from .._identity import comparable, is_running
from .._platform import pids
from .._process.deadline import Deadline
from .._process.report import Failure, Outcome
from ..errors import CleanupTimeout, LastoutError
from . import journal as journals
from .groups import LAST_PATIENCE, wait_for_ends
from .head import process_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..backends.base import Held
    from .journal import Journal


def orphans(held: Held, scope: str) -> list[Journal]:
    """The workers in a scope whose parent has ended and who have not, oldest first."""
    found = []
    for member in held.members():
        try:
            data = held.read(member)
            # Journals can be long, and few are those of orphans.
            parent = process_of(data, b"worker")
            if parent is None or not comparable(parent) or is_running(parent):
                continue
            journal = journals.parse(member, data, scope)
        except (LastoutError, OSError):
            continue  # whoever reaps reports it
        if journal.parent and not is_running(journal.parent) and _can_be_ended(journal):
            found.append(journal)
    return sorted(found, key=lambda one: one.joined_ns)


def _can_be_ended(journal: Journal) -> bool:
    who = journal.who
    return comparable(who) and who.pid != os.getpid() and not journal.left and is_running(who)


def end(workers: Iterable[Journal]) -> list[Outcome]:
    """End these processes, each with the grace that it asked for; what became of them.

    Raises:
        OSError: there are no descriptors left to hold them by.
    """
    began = monotonic()
    held: list[tuple[Journal, int]] = []
    try:
        for journal in workers:
            process = _hold(journal)
            if process is not None:
                held.append((journal, process))
                if not journal.asks_itself:
                    _send(process, signal.SIGTERM)
                _send(process, signal.SIGCONT)  # one that is stopped would not hear it
        for journal, process in sorted(held, key=lambda one: one[0].grace):
            if not wait_for_ends([process], Deadline(began + journal.grace - monotonic())):
                _send(process, signal.SIGKILL)
        last = Deadline(LAST_PATIENCE)
        return [
            _outcome(journal, monotonic() - began, wait_for_ends([process], last))
            for journal, process in held
        ]
    finally:
        for _, process in held:
            os.close(process)


def _hold(journal: Journal) -> int | None:
    """A descriptor of the process of this worker; `None` if it has ended."""
    assert journal.who.pid is not None
    try:
        process = pids.hold_process(journal.who.pid)
    except ProcessLookupError:
        return None
    # Only now, while its number cannot become another one's unseen.
    if is_running(journal.who):
        return process
    os.close(process)
    return None


def _send(process: int, signum: int) -> None:
    try:
        pids.signal_held(process, signum)
    except (ProcessLookupError, PermissionError):
        return  # it has just ended; or is another user's by now, and stays


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
