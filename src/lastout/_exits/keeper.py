"""LimitKeeper: a separate process that kills limited processes when their time to end is over.

    a process joins  (socket)  --> its pidfd, a line to it, its wakeup pipe, seconds, signals
    it begins to end (line)    --> the clock runs
    one of its signals comes, and stays unread in the pipe --> the clock runs
    the time is over           --> SIGKILL
    it has ended     (pidfd), or hangs up (line) --> forgotten

A limit is for a process that cannot run a line of Python any more, so the keeper does not
rely on its help.  The C handler of CPython writes a signal into the wakeup pipe without the
interpreter lock; a byte that stays there for a moment means that no thread of the process
can act on it.

`limit` starts one keeper for a family of forked processes.  The keeper needs little memory,
because it loads next to nothing, and ends with the last of these processes.

Tested by: tests/process/test_keeper.py, tests/process/test_limit.py
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import select
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# The messages on a line.
BEGIN: Final = b"B"
CALL_OFF: Final = b"O"

_MOMENT: Final = 0.1  # seconds that a process has to read a signal from its pipe
_DESCRIPTORS: Final = 4  # at most, with one message


class _LimitedProcess:
    """A process whose end has a limit."""

    def __init__(self, terms: bytes, descriptors: list[int]) -> None:
        seconds, *signals = terms.split()
        self.seconds = float(seconds)
        self.signals = {int(signum) for signum in signals}
        self.held, self.line = descriptors[:2]
        self.pipe = descriptors[2:]  # to read from and to write to; empty if it has no pipe
        self.came_at = 0.0  # when a byte was seen in the pipe
        self.look_at: float | None = None  # when the process should have read that byte
        self.kill_at: float | None = None

    def look(self) -> bool:
        """Whether the pipe is empty; start the clock if it holds one of the signals."""
        try:
            unread = os.read(self.pipe[0], 65536)
        except BlockingIOError:
            return True
        try:  # noqa: SIM105  contextlib takes long to import
            os.write(self.pipe[1], unread)
        except BlockingIOError:
            pass  # full again, so the process has enough bytes to wake up for
        if self.signals.intersection(unread) and self.kill_at is None:
            self.kill_at = self.came_at + self.seconds
        return not unread

    def hear(self) -> bool:
        """Act on the messages of the process; `False` once it has hung up."""
        said = os.read(self.line, 64)
        for word in said:
            if word == BEGIN[0] and self.kill_at is None:
                self.kill_at = monotonic() + self.seconds
            elif word == CALL_OFF[0]:
                self.kill_at = None
        return bool(said)

    def kill(self) -> None:
        """Kill the process, because its time is over."""
        try:
            _signal.pidfd_send_signal(self.held, _signal.SIGKILL)
        except OSError:
            return  # it has ended, or runs as another user by now

    def close(self) -> None:
        """Close all descriptors of the process."""
        for descriptor in (self.held, self.line, *self.pipe):
            os.close(descriptor)


class LimitKeeper:
    """Waits until each process has ended, or its time is over."""

    def __init__(self, door: _socket.socket) -> None:
        self._door: _socket.socket | None = door
        self._poll = select.poll()
        self._poll.register(door.fileno(), select.POLLIN)
        self._processes: dict[int, _LimitedProcess] = {}  # by each of its polled descriptors

    def run(self) -> None:
        """Keep the limits until no process can join any more, and all have ended."""
        while self._door is not None or self._processes:
            for descriptor, _ in self._poll.poll(self._milliseconds_left()):
                if self._door is not None and descriptor == self._door.fileno():
                    self._open(self._door)
                elif descriptor in self._processes:
                    self._attend_to(self._processes[descriptor], descriptor)
            now = monotonic()
            for process in {*self._processes.values()}:
                self._see_to(process, now)

    def _milliseconds_left(self) -> float | None:
        processes = self._processes.values()
        due = [at for one in processes for at in (one.look_at, one.kill_at) if at is not None]
        return max(0.0, min(due) - monotonic()) * 1000 + 1 if due else None

    def _open(self, door: _socket.socket) -> None:
        space = _socket.CMSG_SPACE(_DESCRIPTORS * 4)
        terms, with_it, _, _ = door.recvmsg(1024, space)
        if not terms:
            self._poll.unregister(door.fileno())
            self._door = None
            door.close()
            return
        numbers = memoryview(b"".join(data for _, _, data in with_it)).cast("i").tolist()
        process = _LimitedProcess(terms, numbers)
        for descriptor in (process.held, process.line, *process.pipe[:1]):
            self._processes[descriptor] = process
            self._poll.register(descriptor, select.POLLIN)

    def _attend_to(self, process: _LimitedProcess, descriptor: int) -> None:
        if descriptor == process.held or (descriptor == process.line and not process.hear()):
            self._forget(process)
        elif descriptor in process.pipe:
            self._poll.unregister(descriptor)  # because `poll` would report it until it is read
            process.came_at = monotonic()
            process.look_at = process.came_at + _MOMENT

    def _see_to(self, process: _LimitedProcess, now: float) -> None:
        if process.look_at is not None and process.look_at <= now:
            if process.look():
                process.look_at = None
                self._poll.register(process.pipe[0], select.POLLIN)
            else:
                process.look_at = now + _MOMENT
        if process.kill_at is not None and process.kill_at <= now:
            process.kill()
            self._forget(process)

    def _forget(self, process: _LimitedProcess) -> None:
        for descriptor in (process.held, process.line, *process.pipe[:1]):
            del self._processes[descriptor]
            try:
                self._poll.unregister(descriptor)
            except KeyError:
                continue  # the pipe was not polled at the moment
        process.close()


def main() -> None:
    """Detach from the process that started the keeper, and keep limits."""
    # All signals are blocked since before this process began, because none is for a keeper.
    os.setsid()
    os.chdir("/")
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                continue  # `listdir` had this descriptor open
    if os.fork():
        os._exit(0)  # the starter waits for this, so the keeper is detached when it goes on
    sys.stdin = None  # because descriptor 0 is the door
    LimitKeeper(_socket.socket(fileno=0)).run()
    os._exit(0)
