"""SignalThread: a pipe that CPython's C signal handler writes to, and a thread that reads it.

The thread wakes for a signal even while the main thread sits in a C call, and may take
its time, because it interrupts nothing in the main thread.  It blocks all signals,
because it must not receive a signal that the program has blocked.

If other code has taken the wakeup descriptor (see `wakeup`), the C handler does not
write to the pipe; then the Python-level handler does, by `wake`.

Tested by: tests/process/test_signals.py, tests/process/test_signals_children.py,
    tests/process/test_signals_faults.py
"""

from __future__ import annotations

import os

from .._platform.genuine import UnpatchedModule
from .._platform.masks import AllBlocked, blocked, set_blocked
from . import wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_os, _thread, select = UnpatchedModule("os"), UnpatchedModule("_thread"), UnpatchedModule("select")

_STOP = 0  # no signal has this number
_JOIN_SECONDS = 5.0


def start_unsignalled(run: Callable[[], object]) -> None:
    """Start a thread in which all signals are blocked.

    Raises:
        RuntimeError: no thread can be started.
    """
    with AllBlocked():
        _thread.start_new_thread(run, ())


class SignalThread:
    """Calls `obey(signum)` on a thread of its own for each signal that arrives.

    Args:
        obey: the function to call.
        mask: the signals that the program blocks; `None` for the currently blocked signals.

    Attributes:
        obeying: the signal that is being obeyed, or 0.
    """

    def __init__(self, obey: Callable[[int], object], mask: Iterable[int] | None = None) -> None:
        self._obey = obey
        self._mask = blocked() if mask is None else mask
        self._pid = os.getpid()
        self._reading = _thread.allocate_lock()  # held from the reading to the obeying
        self._reader = 0  # the thread that holds `_reading`
        self._thread = 0
        self.obeying = 0
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        try:
            start_unsignalled(self._watch)
        except RuntimeError:
            self._close()
            raise
        wakeup.take(self._in)

    @property
    def pipe(self) -> tuple[int, int]:
        """The descriptors that signals are read from, and written to."""
        return self._out, self._in

    def wake(self, signum: int) -> None:
        """Tell the thread of a signal."""
        try:
            _os.write(self._in, bytes((signum,)))
        except BlockingIOError:
            return  # the pipe is full, so the thread has enough to wake up for

    def _watch(self) -> None:
        self._thread = _thread.get_ident()
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        try:
            while True:
                poll.poll()
                with self._reading:
                    if not self._read():
                        return
        finally:
            self._ended.release()

    def _read(self) -> bool:
        """Obey the signals that have arrived; `False` when it is time to stop."""
        try:
            arrived = _os.read(self._out, 512)
        except BlockingIOError:  # the main thread has read the pipe, in `finish`
            return True
        except OSError:  # closed: gevent's children close all descriptors just before their exec
            return False
        self._reader = _thread.get_ident()
        try:
            for signum in arrived:
                if signum == _STOP:
                    return False
                self.obeying = signum
                self._obey(signum)
            return True
        finally:
            self._reader = self.obeying = 0

    def unblock(self) -> None:
        """In its thread, block only the signals that the rest of the program blocks.

        Exit handlers may start programs, which inherit the signal mask of their thread.
        """
        if self._thread == _thread.get_ident():
            set_blocked(self._mask)

    def finish(self, seconds: float) -> bool:
        """Obey, on the calling thread, signals that have arrived and were not read yet.

        Returns:
            `False` if the thread is still obeying a signal after that many seconds.
        """
        if not self._reading.acquire(timeout=seconds):
            return False
        try:
            self._read()
        finally:
            self._reading.release()
        return True

    def stop(self) -> None:
        """Give the wakeup descriptor back and end the thread."""
        wakeup.give_up()
        self.wake(_STOP)
        # A thread that is still obeying is left alone, because the process is about to end.
        if not self.obeys_here() and self._ended.acquire(timeout=_JOIN_SECONDS):
            self._close()

    def end_thread(self) -> None:
        """End the thread and keep the pipe, because no other thread is left in this process."""
        self.wake(_STOP)

    def obeys_here(self) -> bool:
        """Whether this very thread is obeying a signal now."""
        return bool(self._reader == _thread.get_ident())

    def is_ours(self) -> bool:
        """Whether its thread lives in this process."""
        return self._pid == os.getpid()

    def leave_to_parent(self) -> None:
        """In a forked child, close the parent's pipe; the thread does not exist there."""
        wakeup.give_up()
        self._close()

    def _close(self) -> None:
        os.close(self._out)
        os.close(self._in)
