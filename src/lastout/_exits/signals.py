"""Signals: unwind on a signal, then die of that signal.

A Python signal handler runs between two bytecodes of the main thread.  So it does
not run while the main thread sits in a C call; and if it raises, the main thread
keeps every lock that it held (in a pool worker the lock of the task queue, and the
pool hangs).  Another thread does the work instead:

    signal ==> C handler of CPython ==> byte in the wakeup pipe ==> watcher thread
                                                                        |
    1. it unwinds the stack, after a thread that does so already        |
    2. it runs the functions of atexit and multiprocessing, too         |
    3. the process sends itself the signal, and dies of it  <-----------+

A handler that the program has set itself comes first (`signal_handler`).

A forked child has the parent's pipe and no watcher, so the signals are blocked
from before the fork until the child has a pipe and a watcher of its own.  The
carrier tells a child by another start method which signals its parent handles.

Tested by: tests/process/test_signals_setup.py, tests/process/test_signals.py,
    tests/process/test_signals_loading.py
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import signal
import threading
from functools import partial

from .._platform import HAS_FORK, prepare_to_die
from .._platform.genuine import in_main_thread
from .._platform.imports import load, load_now, public
from ..deadline import check_seconds
from ..errors import UsageError
from . import after_end, call_all, on_inheritable, registry, signal_end, signal_handler
from .carrier import carried
from .children import do_in_children, follow_forks
from .exit_handler import ExitHandler
from .forkserver import is_forkserver
from .signal_checks import check_main_thread, check_signal, name_of
from .signal_handler import HandledSignal, SignalHandler, handled, is_installed
from .signal_handler import SignalOptions as _Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from .signal_thread import SignalThread

_parents_watcher: SignalThread | None = None  # the watcher before the latest fork
_masks: dict[int, Iterable[int]] = {}
_following = False
_forked_by_thread = False
_of_this_thread = threading.local()

if HAS_FORK:
    # Here, in the process that makes a pool, so that its workers need not do so again.
    try:  # noqa: SIM105  contextlib takes long to import
        prepare_to_die()
    except ImportError:  # `handle_signals` will raise it again
        pass


@public
class SignalHandling:
    """The effect of `handle_signals`; a context manager that undoes it.

    Attributes:
        signals: the signals that this call took over; signals that were ignored
            or handled already are not among them.
    """

    def __init__(self, signals: tuple[int, ...], before: dict[int, HandledSignal]) -> None:
        self.signals = signals
        self._before = before
        self._undone = False

    def _begin_in_child(self, options: _Options) -> None:
        """In a child of the fork server that called `handle_signals`, handle the signals."""
        if not self._undone:
            here = _handle(self.signals, options)
            self.signals, self._before = here.signals, here._before

    def restore(self) -> None:
        """Put the previous handlers back; a second call does nothing.

        A handler that the program has set since is left alone.

        Raises:
            UsageError: called outside the main thread.
        """
        if not self._undone:
            check_main_thread("restore")
            self._undone = True
            for signum in self._before.keys() & handled.keys():
                handled[signum] = self._before[signum]
            signal_handler.restore(self.signals)
            if not handled:
                call_all(signal_end.after_handling)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()


@public
def handle_signals(
    *signals: int | str,
    raise_in_main: bool = False,
    grace: float | None = None,
    limit: float | None = None,
    inherit: bool = True,
) -> SignalHandling:
    """Run the exit handlers when one of these signals arrives, then die of it.

    The exit handlers, and the functions of `atexit` and multiprocessing, run outside of
    the main thread, which goes on with its work meanwhile.  The parent sees the true
    status (`-SIGTERM`).  A second signal of the same kind within two seconds is ignored;
    a later signal kills at once.

    A handler that the program has set before comes first, on the main thread, as if
    lastout were not there: a server drains, and the exit handlers run when the process
    ends then.  If the program sets another handler later, lastout does nothing.  An
    ignored signal (`nohup`) stays ignored, and a blocked signal waits.  A call in C that
    does not release the interpreter lock delays the exit handlers.

    Args:
        signals: signal numbers, or names such as `"SIGTERM"`; by default SIGTERM and
            SIGHUP.
        raise_in_main: raise `SystemExit(128 + n)` in the main thread instead,
            so that `with` and `finally` blocks run, and then the exit handlers.
            For main programs, not for pool workers.  A signal that arrives just
            before the main thread begins to wait without a limit is acted on
            when that wait ends.
        grace: seconds that a handler set before has to end the process; then lastout
            ends it.  `None` for no limit.
        limit: seconds from the signal, or from the begin of any other end, until SIGKILL,
            even if this process hangs, because another process sends it.
        inherit: whether child processes handle these signals too, however they are
            started: by fork, or by `multiprocessing` and `multiprocess`.

    Returns:
        A context manager; its `restore()` puts everything back.

    Raises:
        TypeError: a signal is neither a number nor a name, or `grace` is no number.
        UsageError: a signal cannot be handled, or this is not the main thread
            of the main interpreter, or this system has no such signals, or `grace` is
            negative or not a number (NaN).  Nothing was changed.

    >>> import lastout
    >>> with lastout.handle_signals():
    ...     pass
    """
    if not HAS_FORK:
        raise UsageError(
            "handle_signals needs a POSIX system, such as Linux; call unwind() instead"
        )
    wanted = [check_signal(signum) for signum in signals or (signal.SIGTERM, signal.SIGHUP)]
    seconds = check_seconds(grace, "grace"), check_seconds(limit, "limit")
    options = _Options(bool(raise_in_main), *seconds, bool(inherit))
    check_main_thread("handle_signals")
    if is_forkserver():
        handling = SignalHandling(tuple(wanted), {})
        do_in_children(partial(handling._begin_in_child, options))
        return handling
    return _handle(wanted, options)


def _handle(wanted: Iterable[int], options: _Options) -> SignalHandling:
    # A handled signal counts as new if its handler has been replaced since: asyncio, for
    # example, leaves the default action behind.
    new = {n: _signal.getsignal(n) for n in wanted if n not in handled or not is_installed(n)}
    ours = tuple(n for n, previous in new.items() if previous is not _signal.SIG_IGN)
    _check_that_it_can_be_put_back({n: new[n] for n in ours})
    _prepare_limit(options.limit)
    load_now("lastout._exits", "lastout._platform")
    prepare_to_die()
    registry.arm_hooks()
    _follow()
    kept = {n: handled[n] for n in wanted if n in handled and n not in new}
    before = {n: how for n, how in kept.items() if how.options != options}
    if (ours or before) and not options.raise_in_main:
        signal_handler.start_watcher()
    for signum, how in before.items():
        handled[signum] = HandledSignal(how.previous, options)
    for signum in ours:
        handled[signum] = HandledSignal(new[signum], options)
        _signal.signal(signum, SignalHandler())
    _keep_limit(options.limit)
    if options.inherit:
        call_all(on_inheritable)
    return SignalHandling(ours, before)


def _prepare_limit(seconds: float | None) -> None:
    if seconds is not None:
        load("lastout._exits.limit")  # loaded here, because it is seldom needed
        from . import limit

        limit.prepare(seconds)


def _keep_limit(seconds: float | None) -> None:
    if seconds is not None:
        from . import limit

        limit.keep(seconds, handled, _pipe)


def _pipe() -> tuple[int, ...]:
    return signal_handler.watcher.pipe if signal_handler.watcher is not None else ()


def _check_that_it_can_be_put_back(found: dict[int, object]) -> None:
    for signum, previous in found.items():
        if previous is None:
            raise UsageError(
                f"{name_of(signum)} has a handler that was not set from Python and could not be"
                " put back; leave that signal out",
                signum=signum,
            )


def _follow() -> None:
    """Follow forks, children by other start methods, and the end of this process; only once."""
    global _following
    if not _following:
        _following = True
        follow_forks(_before_fork, _in_parent, _in_child)
        after_end.append(signal_handler.at_end)
        carried.append(_for_children)


def _for_children() -> list[ExitHandler]:
    """The calls that a child by another start method than fork has to make."""
    ways: dict[_Options, list[int]] = {}
    for signum, how in handled.items():
        if how.options.inherit:
            ways.setdefault(how.options, []).append(signum)
    return [ExitHandler(_as_in_parent, (found, tuple(way))) for way, found in ways.items()]


def _as_in_parent(
    signals: list[int], options: tuple[bool, float | None, float | None, bool]
) -> None:
    """In a child, handle the parent's signals, except signals that it handles already."""
    if not is_forkserver():
        _handle([n for n in signals if n not in handled], _Options(*options))


class _LastThread:
    """Ends the watcher with the thread that forked this process.

    A process ends with its last thread.  A process that was forked outside of the main thread
    has only the forking thread, whose end runs no exit handlers; the watcher must not keep the
    process alive after it.
    """

    def __init__(self, watcher: SignalThread) -> None:
        self._end_thread = watcher.end_thread

    def __del__(self) -> None:
        self._end_thread()


def _before_fork() -> None:
    global _parents_watcher, _forked_by_thread
    _parents_watcher = signal_handler.watcher
    _forked_by_thread = not in_main_thread()
    if handled:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, handled)
        _masks[_thread.get_ident()] = mask


def _in_parent() -> None:
    mask = _masks.pop(_thread.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    try:
        signal_end.forked()
        signal_handler.forked(_parents_watcher, _masks.get(_thread.get_ident()))
        signal_handler.restore([n for n, how in handled.items() if not how.options.inherit])
        if _forked_by_thread and signal_handler.watcher is not None:
            _of_this_thread.last = _LastThread(signal_handler.watcher)
    finally:
        _in_parent()
        _masks.clear()
