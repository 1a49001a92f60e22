"""The end by a signal: what a normal end would run, then the signal's default action.

    1. a second signal of the kind is the same wish for two seconds, then it kills at once
    2. exit functions of others (atexit, multiprocessing) and ours, in the usual order;
       those of others for a few seconds only
    3. the standard streams are flushed
    4. the process sends itself the signal, and dies of it

All of it on a thread that is not the main one, which goes on meanwhile.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import sys
import threading

from .._platform import default_action, die_of, pids, show_unraisable
from .._platform.genuine import UnpatchedModule, is_patched
from . import PACKAGES, begun, call_all, registry
from .children import loaded_packages, run_before_threads
from .runner import begin, call_within
from .signal_thread import start_unsignalled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_thread = UnpatchedModule("_thread")

# Service managers, schedulers and pools send one wish twice, some ms apart.
IMPATIENT_AFTER: Final = 2.0  # seconds
_OTHERS_SECONDS: Final = 5.0  # before ours begin, and again when ours have ended
_FLUSH_SECONDS: Final = 1.0
MAIN_WAITS = 10.0  # seconds that the main thread, at its end, waits for all this

# What `limit` hangs in here: the end has begun; it has not, whatever a byte in the wakeup
# pipe said; no signal is handled any more.
on_begin: list[Callable[[], object]] = []
on_false_alarm: list[Callable[[], object]] = []
after_handling: list[Callable[[], object]] = []

# Whether lastout has seen this process being forked.
_was_forked = False


def end(signum: int) -> None:
    """End this process by `signum`, as it would end without one; does not return."""
    begin_end(signum)
    try:
        if is_patched("threading"):
            _thread.start_new_thread(_end, (signum,))
        else:  # no daemon: the main thread, at its end, waits for it
            threading.Thread(target=_end, args=(signum,), daemon=False).start()
    except RuntimeError:  # the interpreter has begun to end, or there is no thread to be had
        die(signum)
    wait_for_the_end()


def _end(signum: int) -> None:
    try:
        ended = begin(_run_as_usual)
        ended(_OTHERS_SECONDS)
        registry._run_exitfuncs()  # after whoever runs them already
        ended(_OTHERS_SECONDS)
    finally:
        die(signum)


def wait_for_the_end(seconds: float = -1) -> None:
    """Wait for the end of this process, so many seconds at most; for ever without."""
    never = _thread.allocate_lock()
    never.acquire()
    never.acquire(timeout=seconds)


def begin_end(signum: int) -> None:
    """From now on a signal of this kind is the same wish, for a while; then it kills at once."""
    begun.add(signum)
    call_all(on_begin)
    try:
        start_unsignalled(lambda: _lose_patience(signum))
    except RuntimeError:  # no thread to be had
        default_action(signum)


def _lose_patience(signum: int) -> None:
    pids.say_that_it_unwinds()
    wait_for_the_end(IMPATIENT_AFTER)
    if signum in begun:
        default_action(signum)
    wait_for_the_end()  # the name of this thread is what tells


def die(signum: int) -> None:
    """Flush the streams, run what was registered last, and die of `signum`."""
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


def _run_as_usual() -> None:
    """What a normal end of this process runs."""
    run_before_threads()
    try:
        if not _atexit_is_ours():
            if package_of_child():
                run_finalizers()
        elif threading.main_thread().is_alive():
            atexit.register(_hold_main, _thread.get_ident())
            atexit._run_exitfuncs()
    except BaseException as error:
        show_unraisable(error, _run_as_usual)


def _atexit_is_ours() -> bool:
    """Whether what is registered with `atexit` here is of this process, not of its parent.

    A forked child has its parent's, of which multiprocessing's never ran any before 3.13.1;
    since then it forgets them when it begins a child.
    """
    if hasattr(sys.modules.get(f"{package_of_child()}.popen_fork"), "atexit"):
        return True
    return not (_was_forked or pids.was_forked())


def run_finalizers() -> None:
    """Let multiprocessing end its children, and run its finalizers, as at a normal end."""
    for _, util in loaded_packages():
        util._exit_function()


def package_of_child() -> str | None:
    """The package that this process is a child of, if it is one."""
    for name in PACKAGES:
        process: Any = sys.modules.get(f"{name}.process")
        if process is not None and process.parent_process() is not None:
            return name
    return None


def _hold_main(runs_them: int) -> None:
    """The first one that `atexit` calls: none of the rest is called by the main thread as well.

    It may come to its end while they run.
    """
    if _thread.get_ident() != runs_them:
        wait_for_the_end(MAIN_WAITS)
        die_of(next(iter(begun)))


def forked() -> None:
    """This is a forked child: nothing of its parent's end is its own."""
    global _was_forked
    _was_forked = True
    begun.clear()


class DieLate:
    """Kills this process by a signal when the interpreter has run everything else.

    That is when the modules are cleared: there is no later moment for Python code, and
    no hook for it.
    """

    def __init__(self, signum: int) -> None:
        self._die = signum, _signal.signal, _signal.SIG_DFL, _signal.raise_signal

    def __del__(self) -> None:
        signum, set_handler, default, raise_signal = self._die
        set_handler(signum, default)
        raise_signal(signum)
