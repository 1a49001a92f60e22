"""The signal handler: the object given to `signal.signal`, and the ends that it begins.

    handler before lastout           effect of the signal
    the default action               the process ends at once, see `signal_end`
    a handler in Python              it is called as if lastout were not there; the exit
                                     handlers run when the process then ends, or when
                                     the `grace` is over
    default, with `raise_in_main`    SystemExit in the main thread, then a normal end

lastout ignores a signal if the program has installed another handler since.

This module and `signals` use `_signal`, because `signal` converts each argument and result
to a member of an enumeration, and each worker of a pool would pay for that.

Tested by: tests/process/test_signals.py, tests/process/test_signals_others.py,
    tests/process/test_signals_faults.py
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
    """How a signal is to be handled, compared by value."""

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
        """Seconds that a previous handler may take to end the process; `None` for no limit."""
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
    """A signal that lastout handles.

    Attributes:
        previous: the handler before, as `_signal.getsignal` returned it.
        options: how the signal is to be handled.
    """

    __slots__ = ("options", "previous")

    def __init__(self, previous: Any, options: SignalOptions) -> None:
        self.previous = previous
        self.options = options

    def comes_first(self) -> bool:
        """Whether the program has a handler of its own, which decides when the process ends."""
        return callable(self.previous) and self.previous is not _signal.default_int_handler


handled: dict[int, HandledSignal] = {}
watcher: SignalThread | None = None
# Signals whose handlers are being restored; a signal that came before that is still obeyed.
_restoring: set[int] = set()
# The signals whose previous handler was called, so that an orderly end is on its way.
_ending: set[int] = set()
# Signals with a previous handler that came while exit handlers ran.
_put_off: set[int] = set()
# The signal for which a SystemExit was raised in the main thread.
_raised: int | None = None
# Kept here because its `__del__` runs when the interpreter clears this module.
_die_late: signal_end.DieLate | None = None


class SignalHandler:
    """The Python-level handler of a signal.

    Only the interpreter's table of handlers refers to an instance, so `__del__` runs in the
    very moment in which another handler takes its place.
    """

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Act on a signal that has arrived, on the main thread."""
        how = handled.get(signum)
        if how is None:
            return
        if watcher is not None:
            wakeup.take_again()
        if how.comes_first() and registry.is_unwinding() and _put_off_signal(signum):
            return  # put off, because it might end the process in the middle of exit handlers
        if how.comes_first():
            _start_grace(signum, how)
            # The previous handler may put back the default action and send the signal again.
            # `__del__` must run before that, but this instance stays alive until its call is
            # over: so a new instance, which is not being called, takes its place.
            _signal.signal(signum, SignalHandler())
            how.previous(signum, frame)
        elif how.options.raise_in_main:
            _raise(signum)
        elif watcher is not None:
            watcher.wake(signum)  # because other code may have taken the wakeup descriptor
        else:
            obey(signum)  # here, because this forked child could not start a thread

    def __del__(self) -> None:
        """Take the signal again if a server has put back the default action for its end.

        uvicorn ends in order, puts back the default action and sends itself the signal again.
        Without a handler the process would die of it, and run no exit handlers.
        """
        for signum in tuple(_ending or ()):  # it is None once the interpreter clears the module
            if _signal.getsignal(signum) == _signal.SIG_DFL and in_main_thread():
                _ending.discard(signum)
                handled[signum] = HandledSignal(_signal.SIG_DFL, handled[signum].options)
                _signal.signal(signum, SignalHandler())


def is_installed(signum: int) -> bool:
    """Whether the installed handler of a signal is a `SignalHandler`."""
    return type(_signal.getsignal(signum)) is SignalHandler


def obey(signum: int) -> None:
    """On the watcher's thread, end the process if this signal is to end it at once."""
    how = handled.get(signum)
    ours = is_installed(signum) or signum in _restoring
    # The wakeup pipe gets every signal.  Another handler, or the main thread, acts on these.
    if how is None or how.options.raise_in_main or how.comes_first() or not ours:
        if not begun:
            call_all(signal_end.on_false_alarm)  # the keeper may have started its clock
    elif signum not in begun:
        if watcher is not None:
            watcher.unblock()  # exit handlers run on this thread or on a thread that it starts
        signal_end.end(signum)


def _put_off_signal(signum: int) -> bool:
    """Have the signal sent again when the exit handlers have run; `False` if that fails."""
    if signum not in _put_off:
        _put_off.add(signum)
        try:
            start_unsignalled(lambda: _send_again(signum))
        except RuntimeError:  # no thread starts; at the interpreter's end `at_end` does the work
            if threading.main_thread().is_alive():
                _put_off.discard(signum)
                return False
    return True


def _send_again(signum: int) -> None:
    registry.wait_for_unwinding()
    if signum in _put_off:  # else `at_end` has called the previous handler
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
    if signum in begun:  # a second SystemExit would interrupt the end that is on its way
        return
    signal_end.begin_end(signum)
    _raised = signum
    raise SystemExit(128 + signum)


def at_end() -> None:
    """At a normal end, after the exit handlers, act on signals that came meanwhile."""
    global _raised, _die_late
    if not in_main_thread():
        return  # this is the end by a signal, or a handler ends the process in its own way
    for signum in tuple(_put_off):
        _put_off.discard(signum)
        if signum in handled and handled[signum].comes_first():
            handled[signum].previous(signum, None)
    if _raised is not None:
        signum, _raised = _raised, None
        if signal_end.package_of_child() is None:
            _die_late = signal_end.DieLate(signum)
            return
        # multiprocessing ends its child by `os._exit`, which clears no modules: die now.
        signal_end.run_finalizers()  # calls `at_end` again, by the finalizer of lastout
        signal_end.die(signum)
    if watcher is not None and not watcher.finish(signal_end.MAIN_WAITS):
        die_of(
            watcher.obeying
            or next(n for n, how in handled.items() if not how.options.raise_in_main)
        )
    # A signal from now on kills with the true status, because no handlers are left to run.
    restore(tuple(handled))


def restore(signals: Iterable[int]) -> None:
    """Put back the previous handlers, except where the program has set another since."""
    global watcher
    _ending.clear()
    _restoring.update(n for n in signals if n in handled and is_installed(n))
    for signum in _restoring:
        _signal.signal(signum, handled[signum].previous)
    # A signal that came before is obeyed now, while `handled` still has its options.
    if watcher is not None and not watcher.obeys_here():
        watcher.finish(signal_end.MAIN_WAITS)
    _restoring.clear()
    for signum in signals:
        handled.pop(signum, None)
    if watcher is not None and all(how.options.raise_in_main for how in handled.values()):
        former, watcher = watcher, None
        former.stop()


def start_watcher(mask: Iterable[int] | None = None) -> None:
    """Start the watcher, unless it runs already.

    Raises:
        RuntimeError: no thread can be started.
    """
    global watcher
    if watcher is None:
        watcher = SignalThread(obey, mask)


def forked(parents: SignalThread | None, mask: Iterable[int] | None) -> None:
    """In a forked child, replace the parent's watcher, and forget ends that the parent began."""
    global watcher, _raised
    _raised = None
    _ending.clear()
    _put_off.clear()
    # Not by the process id alone, because the first processes of two namespaces have the same.
    if watcher is not None and (watcher is parents or not watcher.is_ours()):
        former, watcher = watcher, None
        former.leave_to_parent()
        # `watcher` stays None if no descriptor or no thread is left; the main thread obeys then.
        start_watcher(mask)
