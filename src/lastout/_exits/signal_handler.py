"""The signal handler: what `signal.signal` is given, and what it sets off.

    who handled the signal before    what happens
    nobody (the default action)      the process ends at once, see `signal_end`
    a handler in Python              it is called as if we were not there; our exit
                                     handlers run when the process then ends, or when
                                     the `grace` is over
    nobody, with `raise_in_main`     SystemExit in the main thread, then a normal end

Nothing is done about a signal whose installed handler is another one by now.

By `_signal`, here and in `signals`: `signal` makes members of enumerations of what it is
given and gives, which each worker of a pool would pay for.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import threading

from .._platform import die_of
from .._platform.genuine import in_main_thread
from . import begun, call_all, registry, signal_end, wakeup
from .signal_thread import SignalThread, start_unsignalled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType
    from typing import Any


class SignalOptions(tuple):  # type: ignore[type-arg]
    """How a signal is to be handled: equal where nothing differs."""

    __slots__ = ()

    def __new__(
        cls, raise_in_main: bool, grace: float | None, limit: float | None, inherit: bool
    ) -> SignalOptions:
        return tuple.__new__(cls, (raise_in_main, grace, limit, inherit))

    @property
    def raise_in_main(self) -> bool:
        """Whether to raise in the main thread."""
        return bool(self[0])

    @property
    def grace(self) -> float | None:
        """Seconds that a previous handler has; `None` for no limit."""
        return self[1]  # type: ignore[no-any-return]

    @property
    def limit(self) -> float | None:
        """Seconds for the whole end; `None` for no limit."""
        return self[2]  # type: ignore[no-any-return]

    @property
    def inherit(self) -> bool:
        """Whether child processes handle it too."""
        return bool(self[3])


class HandledSignal:
    """A signal that is handled.

    Attributes:
        previous: what handled it before.
        options: how it is to be handled.
    """

    __slots__ = ("options", "previous")

    def __init__(self, previous: Any, options: SignalOptions) -> None:
        self.previous = previous
        self.options = options

    def comes_first(self) -> bool:
        """Whether there is a handler of the program's own, which decides when it ends."""
        return callable(self.previous) and self.previous is not _signal.default_int_handler


handled: dict[int, HandledSignal] = {}
watcher: SignalThread | None = None
# Signals that are being given back: what came of them before is obeyed.
_restoring: set[int] = set()
# The signals whose previous handler was called: an orderly end is on its way.
_ending: set[int] = set()
# Signals for a handler that was there before, which came while exit handlers ran.
_put_off: set[int] = set()
# The signal that a SystemExit is on its way for.
_raised: int | None = None
# It is there for its end, which comes with that of this module.
_die_late: signal_end.DieLate | None = None


class SignalHandler:
    """The Python-level handler.  Nobody but the table of handlers refers to one.

    So `__del__` tells, in the very moment, that somebody has put another one in its place.
    """

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """On the main thread: a signal has arrived."""
        how = handled.get(signum)
        if how is None:
            return
        if watcher is not None:
            wakeup.take_again()
        if how.comes_first() and registry.is_unwinding() and _put_off_signal(signum):
            return  # it might end the process in the middle of them
        if how.comes_first():
            _start_grace(signum, how)
            # It may put back the default action and send itself the signal right there.
            # Of a new one nobody is in the middle of a call, so `__del__` comes at once.
            _signal.signal(signum, SignalHandler())
            how.previous(signum, frame)
        elif how.options.raise_in_main:
            _raise(signum)
        elif watcher is not None:
            watcher.wake(signum)  # for when somebody else has the wakeup descriptor
        else:
            obey(signum)  # a forked child that could not start a thread

    def __del__(self) -> None:
        """Servers end in order, put back the default action and send themselves the signal again.

        uvicorn does so.  The exit handlers would be lost: that is the end that they wait for.
        """
        for signum in tuple(_ending or ()):  # none: the interpreter clears its modules
            if _signal.getsignal(signum) == _signal.SIG_DFL and in_main_thread():
                _ending.discard(signum)
                handled[signum] = HandledSignal(_signal.SIG_DFL, handled[signum].options)
                _signal.signal(signum, SignalHandler())


def is_installed(signum: int) -> bool:
    """Whether a handler of ours is the one that is installed."""
    return type(_signal.getsignal(signum)) is SignalHandler


def obey(signum: int) -> None:
    """On the watcher's thread: end the process, if that is what this signal means."""
    how = handled.get(signum)
    ours = is_installed(signum) or signum in _restoring
    if how is None or how.options.raise_in_main or how.comes_first() or not ours:
        if not begun:
            call_all(signal_end.on_false_alarm)
    elif signum not in begun:
        if watcher is not None:
            watcher.unblock()
        signal_end.end(signum)


def _put_off_signal(signum: int) -> bool:
    """Have it sent again when the exit handlers have run; whether that can be done."""
    if signum not in _put_off:
        _put_off.add(signum)
        try:
            start_unsignalled(lambda: _send_again(signum))
        except RuntimeError:  # no thread to be had; at the interpreter's end `at_end` sees to it
            if threading.main_thread().is_alive():
                _put_off.discard(signum)
                return False
    return True


def _send_again(signum: int) -> None:
    registry.wait_for_unwinding()
    if signum in _put_off:
        _put_off.discard(signum)
        os.kill(os.getpid(), signum)


def _start_grace(signum: int, how: HandledSignal) -> None:
    if signum not in _ending:
        _ending.add(signum)
        if how.options.grace is not None:
            grace = how.options.grace
            start_unsignalled(lambda: _end_after(signum, grace))


def _end_after(signum: int, grace: float) -> None:
    signal_end.wait_for_the_end(grace)
    if signum in handled and signum not in begun:
        signal_end.end(signum)


def _raise(signum: int) -> None:
    global _raised
    if signum in begun:  # the same wish, sent twice
        return
    signal_end.begin_end(signum)
    _raised = signum
    raise SystemExit(128 + signum)


def at_end() -> None:
    """The process ends in the usual way, and its handlers have run."""
    global _raised, _die_late
    if not in_main_thread():
        return  # called in an end by a signal, or by a handler that ends the process in its own way
    for signum in tuple(_put_off):
        _put_off.discard(signum)
        if signum in handled and handled[signum].comes_first():
            handled[signum].previous(signum, None)
    if _raised is not None:
        signum, _raised = _raised, None
        if signal_end.package_of_child() is None:
            _die_late = signal_end.DieLate(signum)
            return
        signal_end.run_finalizers()  # comes back here by ours
        signal_end.die(signum)
    if watcher is not None and not watcher.finish(signal_end.MAIN_WAITS):
        die_of(
            watcher.obeying
            or next(n for n, how in handled.items() if not how.options.raise_in_main)
        )
    # What comes from now on kills with the true status: there is nothing left to run.
    restore(tuple(handled))


def restore(signals: Iterable[int]) -> None:
    """Put back what was there before, but where somebody else has put another one since."""
    global watcher
    _ending.clear()
    _restoring.update(n for n in signals if n in handled and is_installed(n))
    for signum in _restoring:
        _signal.signal(signum, handled[signum].previous)
    # One that came before is obeyed, as long as it is known what to do about it.
    if watcher is not None and not watcher.obeys_here():
        watcher.finish(signal_end.MAIN_WAITS)
    _restoring.clear()
    for signum in signals:
        handled.pop(signum, None)
    if watcher is not None and all(how.options.raise_in_main for how in handled.values()):
        former, watcher = watcher, None
        former.stop()


def start_watcher(mask: Iterable[int] | None = None) -> None:
    """See to it that a thread waits for signals.

    Raises:
        RuntimeError: no thread can be had.
    """
    global watcher
    if watcher is None:
        watcher = SignalThread(obey, mask)


def forked(parents: SignalThread | None, mask: Iterable[int] | None) -> None:
    """In a forked child: the watcher is the parent's, and so is every end on its way."""
    global watcher, _raised
    _raised = None
    _ending.clear()
    _put_off.clear()
    # Not by the process id alone: the first process of two namespaces has the same.
    if watcher is not None and (watcher is parents or not watcher.is_ours()):
        former, watcher = watcher, None
        former.leave_to_parent()
        # Without a descriptor or a thread to be had there is none, and the main
        # thread obeys.
        start_watcher(mask)
