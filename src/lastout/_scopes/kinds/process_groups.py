"""Ending a whole process group, and never a process that is not of it.

A pid, and so the number of a group, is handed out again once it is free.  So no
signal goes to a number: each member is held by a descriptor of its own (pidfd)
before it is known, and is known by one of these, looked at while it is held:

    the leader's pid and start time are as recorded    then the number is still its group's,
                                                       also if it has ended, until waited for
    another member that is held still lives            then so is it
    it has the token that the leader was started with (see `tokens`)

Who is in a group of that number, and is known by none of them, is not signalled; it is
told (`unproved`), unless the number is surely another's.

With `tree`, the last one alone is enough: whoever has left the group (a daemon) is a
member too, and is known whatever it has done with its environment.

    look (hold, then know) -> signal each -> wait for all -> look again -> ... -> none

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

LAST_PATIENCE: Final = 5.0  # seconds for the kernel to end what was killed


class ProcessGroup:
    """A process group, while it is being ended; a context manager.

    Args:
        token: the name of the token that its leader was started with.
        leader: the leader's pid, if it is known; else all that have the token
            are taken for the group.
        started: when the leader started, if it is known.
        tree: whether all that have the token are members, whatever group they are in.
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
        """Ask all members to end, kill what is left after `grace` seconds; who remains.

        At least half of the time there is stays for the killing.  This process
        itself is never asked, should it be a member: it is the one that cleans.
        """
        patience = deadline.share(True, grace) or 0.0
        if patience > 0 and self._signal(signal.SIGTERM, Deadline(patience)):
            return []
        self._signal(signal.SIGKILL, Deadline(deadline.share(False, LAST_PATIENCE)))
        return sorted(self._held)

    def unverified_members(self, session: int | None) -> list[int]:
        """Who is in a group of that number, which may be ours still, or another one by now.

        Args:
            session: the session that the group was started in, which it never leaves;
                `None` if it is not known.
        """
        leader = pids.process_facts(self._leader) if self._leader is not None else None
        if leader is not None and leader.started != self._started:
            return []  # it was handed out again, which takes that none of ours was left
        return [
            pid
            for pid in self._in_group()
            if pid != os.getpid()
            and (session is None or session_of(pid) == session)
            and (facts := pids.process_facts(pid)) is not None
            and not facts.ending
        ]

    def _signal(self, signum: int, until: Deadline) -> bool:
        """Send a signal once to each member there is or comes; whether all have ended in time."""
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
        """Hold all members that live now."""
        self._let_go([pid for pid, held in self._held.items() if has_ended(held)])
        # Those with the token first: they prove that the others are of their group.
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
            return []  # spares a look at every process of the machine
        return [pid for pid in pids.process_ids() if self._is_in_group(pid)]

    def _hold(self, pid: int) -> None:
        held = hold_if(pid, lambda: self._is_member(pid))
        if held is not None:
            self._held[pid] = held
            self.seen += 1

    def _is_member(self, pid: int) -> bool:
        if not self._is_in_group(pid):
            # A guardian of another version may bear the mark of what started it.
            return self._tree and self._has_token(pid) and not is_guardian(pid)
        if self._has_token(pid):
            return True
        # A number is not handed out again while anybody has it for a group.
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
    """The process group of `pid`; `None` if it has ended, or that is not for us to know."""
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def session_of(pid: int) -> int | None:
    """The session of `pid`; `None` if it has ended, or that is not for us to know."""
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
