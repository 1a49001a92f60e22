"""A stand-in for `select.kqueue`, made of what Linux has, after its manual page.

It knows what lastout asks of it: the end of a process once, that a pipe can be read for as
long as it can, and a change in a directory each time.
"""

from __future__ import annotations

import errno
import os
import select
from time import monotonic
from typing import NamedTuple

KQ_FILTER_READ, KQ_FILTER_VNODE, KQ_FILTER_PROC = -1, -4, -5
KQ_EV_ADD, KQ_EV_ONESHOT, KQ_EV_CLEAR = 1, 16, 32
KQ_NOTE_WRITE, KQ_NOTE_EXIT = 2, 0x80000000
STEP = 0.005  # seconds between two looks at the directory


class kevent(NamedTuple):  # noqa: N801  (as in `select`)
    """What is asked for, and what happened."""

    ident: int
    filter: int = KQ_FILTER_READ
    flags: int = KQ_EV_ADD
    fflags: int = 0


class kqueue:  # noqa: N801
    """Waits for what was added."""

    def __init__(self) -> None:
        self._pidfds: dict[int, int] = {}
        self._pipes: set[int] = set()
        self._directories: dict[int, list[str]] = {}

    def control(
        self, changes: list[kevent] | None, most: int, timeout: float | None = None
    ) -> list[kevent]:
        """Add what to wait for, and wait; a process that is not there raises."""
        for change in changes or ():
            assert change.flags & KQ_EV_ADD
            if change.filter == KQ_FILTER_PROC:
                assert (change.flags & KQ_EV_ONESHOT, change.fflags) == (16, KQ_NOTE_EXIT)
                held = os.pidfd_open(change.ident)
                if select.select([held], [], [], 0)[0]:  # as macOS has it
                    os.close(held)
                    raise ProcessLookupError(errno.ESRCH, "it has ended")
                self._pidfds[change.ident] = held
            elif change.filter == KQ_FILTER_VNODE:
                assert (change.flags & KQ_EV_CLEAR, change.fflags) == (32, KQ_NOTE_WRITE)
                self._directories[change.ident] = os.listdir(change.ident)
            else:
                self._pipes.add(change.ident)
        end = None if timeout is None else monotonic() + timeout
        while most:
            if found := self._found()[:most]:
                return found
            if end is not None and monotonic() >= end:
                break
            select.select([], [], [], STEP)
        return []

    def _found(self) -> list[kevent]:
        poll = select.poll()
        for number in [*self._pidfds.values(), *self._pipes]:
            poll.register(number, select.POLLIN)
        ready = {number for number, _ in poll.poll(0)}
        ended = [pid for pid, held in self._pidfds.items() if held in ready]
        for pid in ended:
            os.close(self._pidfds.pop(pid))
        found = [kevent(pid, KQ_FILTER_PROC) for pid in ended]
        found += [kevent(pipe, KQ_FILTER_READ) for pipe in self._pipes & ready]
        for directory, before in self._directories.items():
            now = os.listdir(directory)
            if now != before:
                self._directories[directory] = now
                found.append(kevent(directory, KQ_FILTER_VNODE))
        return found
