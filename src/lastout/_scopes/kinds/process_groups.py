"""ProcessGroup: ends all processes of a process group, and no other process.

The kernel reuses a pid, and so the number of a group, once it is free.  So lastout sends no
signal to a number: it opens a pidfd for each process, and then proves membership by any of:

    the leader has the recorded pid and start time    so the number still belongs to the group,
                                                      even after its end, until it is waited for
    another member, held by a pidfd, still lives      so the number still belongs to the group
    the process has the token of the leader (see `tokens`)

A process in a group of that number without a proof gets no signal.  It is reported
(`unverified_members`), unless the number certainly belongs to another group.

With `tree` a token alone proves membership, because a process that has left the group (a
daemon) is a member too, even with a changed environment.

    look (open a pidfd, then prove) -> signal each -> wait for all -> look again -> ... -> none

Tested by: tests/shared/test_processes.py, tests/shared/test_faults.py
"""

from __future__ import annotations

import os
import signal

from ..._platform import pids
from ..._platform.process_ends import ask_to_end, has_ended, hold_if, send, wait_for_ends
from ...backends.guards import is_guardian
from ...deadline import Deadline
from .tokens import SearchToken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, Self

LAST_PATIENCE: Final = 5.0  # seconds for the kernel to end killed processes


class ProcessGroup:
    """A process group that is being ended; a context manager.

    Args:
        token: the name of the token that its leader was started with.
        leader: the leader's pid; `None` if unknown, then all processes with the token are
            members.
        started: the start time of the leader; `None` if unknown.
        tree: whether all processes with the token are members, even outside of the group.

    Attributes:
        seen: how many members were found so far.
    """

    def __init__(
        self, token: str, leader: int | None, started: int | None, tree: bool = False
    ) -> None:
        self._leader = leader
        self._started = started
        self._tree = tree or leader is None
        self._has_token = SearchToken(token, everywhere=self._tree).is_of
        self._held: dict[int, int] = {}
        self.seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go(list(self._held))

    def end(self, grace: float, deadline: Deadline) -> list[int]:
        """Send SIGTERM to all members, then SIGKILL after `grace` seconds; returns survivors.

        At least half of the time until the deadline stays for SIGKILL.  This process gets no
        signal even if it is a member, because it does the cleaning.
        """
        patience = deadline.share(True, grace) or 0.0
        if patience > 0 and self._signal(signal.SIGTERM, Deadline(patience)):
            return []
        self._signal(signal.SIGKILL, Deadline(deadline.share(False, LAST_PATIENCE)))
        return sorted(self._held)

    def unverified_members(self, session: int | None) -> list[int]:
        """Processes in a group of that number, which may be a new group by now.

        Args:
            session: the session that the group was started in, which it never leaves;
                `None` if unknown.
        """
        leader = pids.process_facts(self._leader) if self._leader is not None else None
        if leader is not None and leader.started != self._started:
            return []  # the pid was reused, so no member was left
        return [
            pid
            for pid in self._in_group()
            if pid != os.getpid()
            and (session is None or session_of(pid) == session)
            and (facts := pids.process_facts(pid)) is not None
            and not facts.ending
        ]

    def _signal(self, signum: int, until: Deadline) -> bool:
        """Send a signal once to each present and new member; returns whether all ended in time."""
        told: set[int] = set()
        while self._look():
            for pid in self._held.keys() - told:
                told.add(pid)
                self._send(pid, signum)
            if not wait_for_ends(self._held.values(), until.left()):
                self._look()
                return not self._held
        return True

    def _send(self, pid: int, signum: int) -> None:
        if signum == signal.SIGTERM:
            ask_to_end(self._held[pid], pid)
        else:
            send(self._held[pid], signum)

    def _look(self) -> dict[int, int]:
        """Open a pidfd for each living member, and close the pidfds of ended members."""
        self._let_go([pid for pid, held in self._held.items() if has_ended(held)])
        # Processes with the token first, because they prove the membership of the rest.
        for pid in sorted(self._candidates(), key=self._has_token, reverse=True):
            if pid not in self._held and pid != os.getpid():
                self._hold(pid)
        return self._held

    def _candidates(self) -> list[int]:
        if self._tree:
            every = pids.process_ids()
            return [pid for pid in every if self._has_token(pid) or self._is_in_group(pid)]
        return self._in_group()

    def _in_group(self) -> list[int]:
        if self._leader is None or not _exists(self._leader):
            return []  # because asking every process of the machine takes long
        return [pid for pid in pids.process_ids() if self._is_in_group(pid)]

    def _hold(self, pid: int) -> None:
        held = hold_if(pid, lambda: self._is_member(pid))
        if held is not None:
            self._held[pid] = held
            self.seen += 1

    def _is_member(self, pid: int) -> bool:
        if not self._is_in_group(pid):
            # A guardian of another version may bear the mark of the process that started it.
            return self._tree and self._has_token(pid) and not is_guardian(pid)
        if self._has_token(pid):
            return True
        # The kernel does not reuse the number while a process is in the group.
        return (
            self._leader_is_there()
            or self._is_known(os.getpid())
            or any(
                self._is_in_group(other) and not has_ended(held)
                for other, held in self._held.items()
            )
        )

    def _is_known(self, pid: int) -> bool:
        return self._is_in_group(pid) and self._has_token(pid)

    def _is_in_group(self, pid: int) -> bool:
        return self._leader is not None and group_of(pid) == self._leader

    def _leader_is_there(self) -> bool:
        if self._leader is None or self._started is None:
            return False
        facts = pids.process_facts(self._leader)
        return facts is not None and facts.started == self._started

    def _let_go(self, ended: Iterable[int]) -> None:
        for pid in ended:
            os.close(self._held.pop(pid))


def group_of(pid: int) -> int | None:
    """The process group of `pid`; `None` if it has ended, or the system does not tell."""
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def session_of(pid: int) -> int | None:
    """The session of `pid`; `None` if it has ended, or the system does not tell."""
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
