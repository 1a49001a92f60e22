"""Sleeping until the kernel reports that a process ended or a directory changed.

Linux       pidfds and a bell in one poll; the directory rings it by a signal (dnotify)
macOS, BSD  kqueue
elsewhere   a look each second

Tested by: tests/test_events.py
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import sys

from .pids import open_pidfd, process_facts
from .process_ends import has_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_LOOK: Final = 1.0  # seconds between two looks at things of which the kernel does not report
_SPARE: Final = 16  # descriptors that are left for other uses
_GONE: Final = (errno.ESRCH, errno.EINVAL)  # EINVAL: the number is a thread's by now


class ProcessEvents:
    """Wakes a process that watches other processes and one directory.

    Takes over SIGIO and the wakeup descriptor of `signal`, so any signal with a
    Python handler wakes the process.  To be made in the main thread.

    Args:
        directory: a descriptor of the directory.
    """

    def __init__(self, directory: int) -> None:
        self._unseen: dict[int, int | None] = {}  # pid -> start time, looked at each second
        self._bell, self._rope = os.pipe()
        for end in (self._bell, self._rope):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._rope, warn_on_full_buffer=False)
        self._sees_directory = self._begin(directory)

    def ring(self) -> None:
        """Wake the process, from any thread."""
        try:
            os.write(self._rope, b"\0")
        except BlockingIOError:
            return  # full, so the process is about to wake anyway

    def follow(self, pid: int, started: int | None) -> bool:
        """Wake when this process ends; `False` if it has ended or does not exist.

        Args:
            pid: the process.
            started: when it started; `None` for a child, whose number cannot be reused.

        Raises:
            OSError: its start cannot be read, so it may be another process; not followed.
        """
        if self._is_followed(pid):
            return True
        try:
            held = self._hold(pid)
        except OSError as error:
            if error.errno in _GONE:
                return False
            held = False  # no descriptors are left, or a sandbox forbids it
        # Read only now, because from now on the end of this process is seen.
        try:
            facts = process_facts(pid)
        except OSError:  # no descriptors are left
            if started is not None:
                self._drop(pid)
                raise
            if not held:
                self._unseen[pid] = None
            return True
        if facts is None or started not in (None, facts.started):
            self._drop(pid)
            return False
        if not held:
            if facts.ending:
                return False
            self._unseen[pid] = started
        return True

    def wait(self, seconds: float | None = None) -> tuple[set[int], bool]:
        """Sleep until there is an event, or `seconds` at most.

        Returns:
            The processes that ended, which are not followed any more, and
            whether the directory may have changed or `ring` was called.
        """
        blind = self._unseen or not self._sees_directory
        if blind and (seconds is None or seconds > _LOOK):
            seconds = _LOOK
        ended, changed = self._sleep(seconds)
        for pid in ended:
            self._drop(pid)
        unseen = {pid for pid, started in self._unseen.items() if _has_ended(pid, started)}
        for pid in unseen:
            del self._unseen[pid]
        return ended | unseen, changed or not self._sees_directory

    def _is_followed(self, pid: int) -> bool:
        return pid in self._unseen

    def _hear_bell(self) -> None:
        try:
            while os.read(self._bell, 4096):  # pragma: no branch: the other end is never closed
                continue
        except BlockingIOError:
            return

    # The subclasses replace these.

    def _begin(self, _directory: int) -> bool:
        """Begin to watch the directory; returns whether that is possible."""
        return False

    def _hold(self, _pid: int) -> bool:
        """Begin to watch a process; returns whether that is possible."""
        return False

    def _drop(self, pid: int) -> None:
        """Stop watching a process."""

    def _sleep(self, seconds: float | None) -> tuple[set[int], bool]:
        rang = bool(select.select([self._bell], [], [], seconds)[0])
        if rang:
            self._hear_bell()
        return set(), rang


class PidfdEvents(ProcessEvents):
    """On Linux, each process is a descriptor."""

    def _begin(self, directory: int) -> bool:
        self._held: dict[int, int] = {}  # pid -> descriptor
        self._pids: dict[int, int] = {}
        self._most = os.sysconf("SC_OPEN_MAX") - _SPARE
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        signal.signal(signal.SIGIO, lambda *_: None)
        # A rename publishes a journal; the last member deletes all journals.
        wanted = fcntl.DN_RENAME | fcntl.DN_DELETE | fcntl.DN_MULTISHOT
        # Opened anew, because closing a copy of a descriptor, as `os.listdir` does, ends notices.
        self._noticed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            fcntl.fcntl(self._noticed, fcntl.F_NOTIFY, wanted)
        except OSError:  # a kernel without dnotify
            return False
        return True

    def _is_followed(self, pid: int) -> bool:
        return pid in self._held or super()._is_followed(pid)

    def _hold(self, pid: int) -> bool:
        held = open_pidfd(pid)
        if held >= self._most:
            os.close(held)
            return False
        if has_ended(held):
            os.close(held)
            raise ProcessLookupError(errno.ESRCH, "it has ended, and nobody has waited for it")
        self._held[pid] = held
        self._pids[held] = pid
        self._poll.register(held, select.POLLIN)
        return True

    def _drop(self, pid: int) -> None:
        held = self._held.pop(pid, None)
        if held is not None:
            del self._pids[held]
            self._poll.unregister(held)
            os.close(held)

    def _sleep(self, seconds: float | None) -> tuple[set[int], bool]:
        # Rounded up, so that a deadline `seconds` from now has passed on return.
        ready = self._poll.poll(None if seconds is None else int(seconds * 1000) + 1)
        found = {descriptor for descriptor, _ in ready}
        rang = self._bell in found
        if rang:
            self._hear_bell()
        return {self._pids[held] for held in found - {self._bell}}, rang


class KqueueEvents(ProcessEvents):
    """On macOS and the BSDs, one queue reports all events."""

    def _begin(self, directory: int) -> bool:
        kqueue: Any = select
        self._select = kqueue
        self._queue = kqueue.kqueue()
        self._followed: set[int] = set()
        flags = kqueue.KQ_EV_ADD | kqueue.KQ_EV_CLEAR
        self._add(self._bell, kqueue.KQ_FILTER_READ, kqueue.KQ_EV_ADD, 0)
        self._add(directory, kqueue.KQ_FILTER_VNODE, flags, kqueue.KQ_NOTE_WRITE)
        return True

    def _add(self, ident: int, kind: int, flags: int, notes: int) -> None:
        self._queue.control([self._select.kevent(ident, kind, flags, notes)], 0)

    def _is_followed(self, pid: int) -> bool:
        return pid in self._followed or super()._is_followed(pid)

    def _hold(self, pid: int) -> bool:
        once = self._select.KQ_EV_ADD | self._select.KQ_EV_ONESHOT
        self._add(pid, self._select.KQ_FILTER_PROC, once, self._select.KQ_NOTE_EXIT)
        self._followed.add(pid)
        return True

    def _drop(self, pid: int) -> None:
        self._followed.discard(pid)

    def _sleep(self, seconds: float | None) -> tuple[set[int], bool]:
        found = self._queue.control(None, 64, seconds)
        ended = {event.ident for event in found if event.filter == self._select.KQ_FILTER_PROC}
        if any(event.filter == self._select.KQ_FILTER_READ for event in found):
            self._hear_bell()
        return ended, len(found) > len(ended)


def watch(directory: int) -> ProcessEvents:
    """The best `ProcessEvents` that this system has."""
    if hasattr(select, "kqueue"):
        return KqueueEvents(directory)
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        return PidfdEvents(directory)
    return ProcessEvents(directory)


def _has_ended(pid: int, started: int | None) -> bool:
    try:
        facts = process_facts(pid)
    except OSError:
        return False  # unknown for now, so the next look decides
    return facts is None or facts.ending or started not in (None, facts.started)
