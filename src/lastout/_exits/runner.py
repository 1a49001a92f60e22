"""Run one call with a time limit, on a thread that can be left behind.

Python cannot stop a running call, so a call with a limit runs on a thread of
its own: when its time is over it is abandoned, and ends with the process.

Without such a thread the call runs on the calling thread, and is only reported as
late: in a subinterpreter (CPython aborts the process when a thread outlives its
interpreter), and when no thread can be started.  CPython 3.12 starts no threads
once the interpreter has begun to end, which is when exit handlers run, so there
`reserve` parks a thread for each handler with a limit ahead of time.

Tested by: tests/process/test_runner.py, tests/process/test_unwinding.py
"""

from __future__ import annotations

from os import getpid
from time import monotonic

from .._platform import THREADS_START_AT_EXIT, in_main_interpreter
from .._platform.genuine import UnpatchedModule
from .._platform.masks import AllBlocked, blocked, set_blocked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_thread = UnpatchedModule("_thread")


class _HandlerCall:
    """One call, from its start on some thread to its end."""

    __slots__ = ("ended", "error", "func")

    def __init__(self, func: Callable[[], object]) -> None:
        self.func = func
        self.error: BaseException | None = None
        self.ended = _thread.allocate_lock()
        self.ended.acquire()

    def run(self) -> None:
        try:
            self.func()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.release()

    def ends_within(self, seconds: float) -> bool:
        if not self.ended.acquire(timeout=min(seconds, _thread.TIMEOUT_MAX)):
            return False
        self.ended.release()  # so that the next call of this method succeeds too
        return True


class _ParkedThread:
    """A thread that waits for the one call it will run.

    Until then it blocks all signals, because it must not receive a signal that the
    program has blocked.
    """

    __slots__ = ("_go", "_mask", "call")

    def __init__(self) -> None:
        self.call: _HandlerCall | None = None
        self._go = _thread.allocate_lock()
        self._go.acquire()
        with AllBlocked() as self._mask:
            _thread.start_new_thread(self._wait, ())

    def _wait(self) -> None:
        self._go.acquire()
        assert self.call is not None  # `start` has set it
        set_blocked(self._mask)
        self.call.run()

    def start(self, call: _HandlerCall) -> None:
        self.call = call
        self._mask = blocked()
        self._go.release()


_parked: list[_ParkedThread] = []
_parked_in = 0  # the process that the parked threads live in


def reserve(count: int) -> None:
    """Make sure that `count` calls with a limit can still run when this process ends."""
    if not THREADS_START_AT_EXIT and in_main_interpreter():
        _forget_threads_of_parent()
        while len(_parked) < count:
            _parked.append(_ParkedThread())


def _forget_threads_of_parent() -> None:
    """In a forked child, drop the parent's parked threads, which do not exist there."""
    global _parked_in
    if _parked_in != getpid():
        _parked.clear()
        _parked_in = getpid()


def call_within(func: Callable[[], object], seconds: float) -> bool:
    """Call `func` and wait for it for at most `seconds`.

    Returns:
        Whether it ended in time; if not, it still runs, on a thread of its own.

    Raises:
        Exception: `func` raised it in time.
    """
    call = _HandlerCall(func)
    if not _start(call):
        started = monotonic()
        func()
        return monotonic() - started <= seconds
    ended = call.ends_within(seconds)
    if call.error is not None:
        raise call.error
    return ended


def begin(func: Callable[[], object]) -> Callable[[float], bool]:
    """Call `func` on a thread of its own, or on this thread if none can be started.

    Returns:
        A function that waits so many seconds for the end of the call, and returns whether
        it has ended.
    """
    call = _HandlerCall(func)
    if not _start(call):
        call.run()
    return call.ends_within


def _start(call: _HandlerCall) -> bool:
    if not in_main_interpreter():
        return False
    try:
        _thread.start_new_thread(call.run, ())
    except RuntimeError:  # the interpreter is ending, or the system has no more threads
        _forget_threads_of_parent()
        if not _parked:
            return False
        _parked.pop().start(call)
    return True
