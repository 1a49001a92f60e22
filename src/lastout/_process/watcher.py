"""Watcher: a pipe that CPython's C signal handler writes to, and a thread that reads it.

The thread wakes for a signal while the main thread sits in a C call, and may
take its time: nothing of the main thread's is interrupted.

One process has one wakeup descriptor, and asyncio wants it too.  Whoever has
it keeps it; `wake` does by hand, from a Python-level handler, what the C
handler does.
"""

from __future__ import annotations

import _thread
import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STOP = 0  # no signal has this number
_JOIN_SECONDS = 5.0


class Watcher:
    """Calls `obey(signum)` on a thread of its own for each signal that arrives.

    Attributes:
        obeying: the signal that is being obeyed, or 0.
    """

    def __init__(self, obey: Callable[[int], object]) -> None:
        self._obey = obey
        self._pid = os.getpid()
        self._reading = _thread.allocate_lock()  # held from the reading to the obeying
        self._reader = 0  # the thread that holds it
        self.obeying = 0  # the signal that it obeys
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        try:
            _thread.start_new_thread(self._watch, ())
        except RuntimeError:
            self._close()
            raise
        self._has_wakeup_fd = self._take_wakeup_fd()

    @property
    def pipe(self) -> tuple[int, int]:
        """The descriptors that signals are read from, and written to."""
        return self._out, self._in

    def _take_wakeup_fd(self) -> bool:
        """Have CPython write to our pipe, unless it writes to somebody else's."""
        # No signal in between: its byte would reach us and not the owner.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            owner = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
            if owner != -1:
                signal.set_wakeup_fd(owner, warn_on_full_buffer=False)
            return owner == -1
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _give_wakeup_fd_back(self) -> None:
        if self._has_wakeup_fd:
            self._has_wakeup_fd = False
            owner = signal.set_wakeup_fd(-1)
            if owner not in (-1, self._in):  # somebody took it since
                signal.set_wakeup_fd(owner, warn_on_full_buffer=False)

    def wake(self, signum: int) -> None:
        """Tell the thread of a signal."""
        try:
            os.write(self._in, bytes((signum,)))
        except BlockingIOError:
            return  # the pipe is full: it has enough to wake up for

    def _watch(self) -> None:
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
        """Obey what has arrived; False when it is time to stop."""
        try:
            arrived = os.read(self._out, 512)
        except BlockingIOError:  # the main thread has read it, in `finish`
            return True
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

    def finish(self, seconds: float) -> bool:
        """Obey, here and now, what has arrived and was not read yet.

        Returns:
            False if the thread is still obeying one after that many seconds.
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
        self._give_wakeup_fd_back()
        self.wake(_STOP)
        # Where it is still obeying the process is about to end.
        if not self.obeys_here() and self._ended.acquire(timeout=_JOIN_SECONDS):
            self._close()

    def obeys_here(self) -> bool:
        """Whether this very thread is obeying a signal now."""
        return self._reader == _thread.get_ident()

    def is_ours(self) -> bool:
        """Whether its thread lives in this process."""
        return self._pid == os.getpid()

    def leave_to_parent(self) -> None:
        """In a forked child: the pipe is the parent's, and there is no thread."""
        self._give_wakeup_fd_back()
        self._close()

    def _close(self) -> None:
        os.close(self._out)
        os.close(self._in)
