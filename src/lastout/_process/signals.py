"""Signals: unwind on a signal, then the previous handler, then die of that signal.

A Python signal handler runs between two bytecodes of the main thread: not
while that sits in a C call, and if it raises there, whatever the main thread
held stays held (a pool worker: the lock of the task queue, and the pool
hangs).  So the work is done elsewhere:

    signal ==> C handler of CPython ==> byte in the wakeup pipe ==> watcher thread
                                                                        |
    1. the signal's default action is back: a second one kills at once  |
    2. the stack is unwound, after whoever is unwinding it already      |
    3. the handler that was there before us is called                   |
    4. the process sends itself the signal, and dies of it  <-----------+

A forked child has the parent's pipe and no watcher.  The signals are blocked
from before the fork until the child has a pipe and a watcher of its own.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from functools import partial

from .._platform import (
    HAS_FORK,
    default_action,
    die_of,
    prepare_to_die,
    show_unraisable,
)
from .._platform.imports import load_now
from ..errors import UsageError
from . import PACKAGES, after_end, registry
from . import limit as limits
from .children import do_in_children, follow_forks
from .deadline import check_seconds
from .forkserver import is_forkserver
from .runner import call_within
from .signal_checks import check_main_thread, check_signal, name_of
from .watcher import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, TracebackType
    from typing import Any, Self

    # What `signal.getsignal` says, and whether to raise in the main thread.
    Handled = tuple[Any, bool]

_OBEY_SECONDS = 10.0  # how long the main thread, at its end, waits for the watcher
_FLUSH_SECONDS = 1.0

_handled: dict[int, Handled] = {}
_watcher: Watcher | None = None
_parents_watcher: Watcher | None = None  # the one that there was before the latest fork
# The signal that a SystemExit is on its way for, and who handled it before us.
_raised: tuple[int, Any] | None = None
_masks: dict[int, Iterable[int]] = {}
_following = False


class SignalHandling:
    """What `handle_signals` set up; a context manager that undoes it.

    Attributes:
        signals: the signals that this call took over; those that were ignored
            or handled already are not among them.
    """

    def __init__(self, signals: tuple[int, ...], before: dict[int, Handled]) -> None:
        self.signals = signals
        self._before = before
        self._undone = False

    def _begin_in_child(self, raise_in_main: bool, limit: float | None) -> None:
        """This process was forked by the fork server in which `handle_signals` was called."""
        if not self._undone:
            here = handle_signals(*self.signals, raise_in_main=raise_in_main, limit=limit)
            self.signals, self._before = here.signals, here._before

    def restore(self) -> None:
        """Put the previous handlers back; nothing the second time.

        A handler that somebody else has set since is left alone.

        Raises:
            UsageError: called outside the main thread.
        """
        if not self._undone:
            check_main_thread("restore")
            self._undone = True
            for signum in self._before.keys() & _handled.keys():
                _handled[signum] = self._before[signum]
            _restore(self.signals)
            if not _handled:
                limits.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()


def handle_signals(
    *signals: int, raise_in_main: bool = False, limit: float | None = None
) -> SignalHandling:
    """Run the exit handlers when one of these signals arrives, then die of it.

    Handlers run on a thread of their own while the main thread goes on with
    what it was doing.  The parent sees the true status (`-SIGTERM`).  A second
    signal of the same kind kills at once; one that arrives while handlers run
    is obeyed after them.  A previous Python handler is called after the exit
    handlers, and on the same thread, on which `signal.signal` refuses to work.
    Forked children handle the signals too, in the same way unless they call
    this again; other children have to call this themselves.  What is ignored
    (`nohup`) stays ignored.  A call in C that does not release the interpreter
    lock delays the handlers.

    Args:
        signals: signal numbers; by default SIGTERM and SIGHUP.
        raise_in_main: raise `SystemExit(128 + n)` in the main thread instead,
            so that `with` and `finally` blocks run, and then the exit handlers.
            For main programs, not for pool workers.  A signal that arrives just
            before the main thread begins to wait without a limit is acted on
            when that wait ends.
        limit: seconds from the signal, or from the begin of any other end, to the end by
            SIGKILL, whatever this process does; a process of its own sees to that.

    Returns:
        A context manager; its `restore()` puts everything back.

    Raises:
        TypeError: a signal is not a number.
        UsageError: a signal cannot be handled, or this is not the main thread
            of the main interpreter, or this system has no such signals.
            Nothing was changed.

    >>> import lastout
    >>> with lastout.handle_signals():
    ...     pass
    """
    global _following
    if not HAS_FORK:
        raise UsageError(
            "handle_signals needs a POSIX system, such as Linux; call unwind() instead"
        )
    wanted = [check_signal(signum) for signum in signals or (signal.SIGTERM, signal.SIGHUP)]
    check_main_thread("handle_signals")
    seconds = check_seconds(limit, "limit")
    if is_forkserver():
        handling = SignalHandling(tuple(wanted), {})
        do_in_children(partial(handling._begin_in_child, raise_in_main, limit))
        return handling
    # Another may have taken a signal of ours since, and gone: asyncio leaves the default.
    found = {n: signal.getsignal(n) for n in wanted}
    new = {n: was for n, was in found.items() if was is not _on_signal or n not in _handled}
    ours = tuple(n for n, previous in new.items() if previous is not signal.SIG_IGN)
    for signum in ours:
        if new[signum] is None:
            raise UsageError(
                f"{name_of(signum)} has a handler that was not set from Python and could not be"
                " put back; leave that signal out",
                signum=signum,
            )
    limits.prepare(seconds)
    load_now("lastout._process")
    prepare_to_die()
    registry.arm_hooks()
    if not _following:
        _following = True
        follow_forks(_before_fork, _in_parent, _in_child)
        after_end.append(_at_end)
    kept = [n for n in wanted if n in _handled and n not in new]
    before = {n: _handled[n] for n in kept if _handled[n][1] != raise_in_main}
    if (ours or before) and not raise_in_main:
        _start_watcher()
    for signum, (previous, _) in before.items():
        _handled[signum] = previous, raise_in_main
    for signum in ours:
        _handled[signum] = new[signum], raise_in_main
        signal.signal(signum, _on_signal)
    limits.keep(seconds, _handled, _pipe)
    return SignalHandling(ours, before)


def _pipe() -> tuple[int, ...]:
    return _watcher.pipe if _watcher is not None else ()


def _start_watcher() -> None:
    global _watcher
    if _watcher is None:
        _watcher = Watcher(_obey)


def _restore(signals: Iterable[int]) -> None:
    global _watcher
    for signum in signals:
        previous, _ = _handled.get(signum, (None, False))
        if previous is not None and signal.getsignal(signum) is _on_signal:
            signal.signal(signum, previous)
    # One that came before is obeyed, as long as it is known what to do about it.
    if _watcher is not None and not _watcher.obeys_here():
        _watcher.finish(_OBEY_SECONDS)
    for signum in signals:
        _handled.pop(signum, None)
    if _watcher is not None and all(raises for _, raises in _handled.values()):
        watcher, _watcher = _watcher, None
        watcher.stop()


def _on_signal(signum: int, _: FrameType | None) -> None:
    """The Python-level handler, on the main thread."""
    global _raised
    if signum not in _handled:
        return
    if _handled[signum][1]:
        limits.begin()
        default_action(signum)
        _raised = signum, _handled[signum][0]
        raise SystemExit(128 + signum)
    if _watcher is not None:
        _watcher.wake(signum)  # for when somebody else has the wakeup descriptor
    else:
        _obey(signum)  # a forked child that could not start a thread


def _obey(signum: int) -> None:
    """Unwind, and die of the signal; on the watcher's thread."""
    if signum in _handled and not _handled[signum][1]:
        limits.begin()
        default_action(signum)
        previous = _handled[signum][0]
        registry._run_exitfuncs()
        _die(signum, previous)


def _die(signum: int, previous: Any) -> None:
    if callable(previous) and previous is not signal.default_int_handler:
        try:
            previous(signum, sys._current_frames().get(threading.main_thread().ident or 0))
        except BaseException as error:
            if not isinstance(error, SystemExit):  # it meant to end the process: so do we
                show_unraisable(error, previous)
    # The main thread may hold the lock of a stream that it is writing to.
    call_within(_flush, _FLUSH_SECONDS)
    registry._run_exitfuncs()  # what the main thread has registered meanwhile
    die_of(signum)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # none, broken, or closed
            continue


def _at_end() -> None:
    """The process ends in the usual way and its handlers have run."""
    global _raised
    if _raised is not None:
        (signum, previous), _raised = _raised, None
        _end_packages()  # comes back here by their finalizers, which restores
        _die(signum, previous)
    if _watcher is not None and _watcher.obeys_here():
        return  # called by a previous handler, which ends the process in its own way
    if _watcher is not None and not _watcher.finish(_OBEY_SECONDS):
        die_of(_watcher.obeying or next(n for n, (_, raises) in _handled.items() if not raises))
    # What comes from now on kills with the true status: there is nothing left to run.
    if threading.current_thread() is threading.main_thread():
        _restore(tuple(_handled))


def _end_packages() -> None:
    """Let multiprocessing end its children as it would at a normal exit."""
    for name in PACKAGES:
        util: Any = sys.modules.get(f"{name}.util")
        if util is not None:
            util._exit_function()


def _before_fork() -> None:
    global _parents_watcher
    _parents_watcher = _watcher
    if _handled:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _handled)
        _masks[_thread.get_ident()] = mask


def _in_parent() -> None:
    mask = _masks.pop(_thread.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    global _watcher, _raised
    _raised = None
    try:
        # Not by the process id alone: the first process of two namespaces has the same.
        if _watcher is not None and (_watcher is _parents_watcher or not _watcher.is_ours()):
            watcher, _watcher = _watcher, None
            watcher.leave_to_parent()
            # Without a descriptor or a thread to be had there is none, and the
            # main thread obeys.
            _start_watcher()
    finally:
        _in_parent()
        _masks.clear()
