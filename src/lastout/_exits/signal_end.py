"""The end by a signal: run what a normal end would run, then the signal's default action.

    1. a second signal of the same kind is ignored for two seconds, then it kills at once
    2. the functions of atexit and multiprocessing and the exit handlers run in the usual
       order; the functions get a few seconds only
    3. the standard streams are flushed
    4. the process sends itself the signal, and dies of it

All of this happens outside of the main thread, which goes on meanwhile.

Tested by: tests/process/test_signals.py, tests/process/test_signals_faults.py,
    tests/process/test_signals_guest.py
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

# Not zero, because service managers, schedulers and pools send a signal twice, some ms apart.
IMPATIENT_AFTER: Final = 2.0  # seconds
_OTHERS_SECONDS: Final = 5.0  # before the exit handlers run on their own, and again after them
_FLUSH_SECONDS: Final = 1.0
MAIN_WAITS = 10.0  # seconds that the main thread, at its end, waits for all this

# Hooks that `limit` sets here.  They are called when: the end has begun; a byte in the wakeup
# pipe announced an end that does not come; no signal is handled any more.
on_begin: list[Callable[[], object]] = []
on_false_alarm: list[Callable[[], object]] = []
after_handling: list[Callable[[], object]] = []

# Whether lastout has seen this process being forked.
_was_forked = False


def end(signum: int) -> None:
    """End this process by `signum`, after running all that a normal end runs; never returns."""
    begin_end(signum)
    try:
        if is_patched("threading"):
            _thread.start_new_thread(_end, (signum,))
        else:  # no daemon, so that the main thread, at its end, waits for it
            threading.Thread(target=_end, args=(signum,), daemon=False).start()
    except RuntimeError:  # the interpreter has begun to end, or the system has no more threads
        die(signum)
    wait_for_the_end()


def _end(signum: int) -> None:
    try:
        ended = begin(_run_as_usual)
        ended(_OTHERS_SECONDS)
        registry._run_exitfuncs()  # waits for a thread that runs them already
        ended(_OTHERS_SECONDS)
    finally:
        die(signum)


def wait_for_the_end(seconds: float = -1) -> None:
    """Wait for the end of this process, `seconds` at most; without them for ever."""
    never = _thread.allocate_lock()
    never.acquire()
    never.acquire(timeout=seconds)


def begin_end(signum: int) -> None:
    """Have further signals of this kind ignored for a while; later they kill at once."""
    begun.add(signum)
    call_all(on_begin)
    try:
        start_unsignalled(lambda: _lose_patience(signum))
    except RuntimeError:  # without a thread that waits, the next signal kills at once
        default_action(signum)


def _lose_patience(signum: int) -> None:
    pids.say_that_it_unwinds()
    wait_for_the_end(IMPATIENT_AFTER)
    if signum in begun:
        default_action(signum)
    wait_for_the_end()  # because the name of this thread tells that the process unwinds


def die(signum: int) -> None:
    """Flush the streams, run handlers that were registered meanwhile, and die of `signum`."""
    # With a limit, because the main thread may hold the lock of a stream that it writes to.
    call_within(_flush, _FLUSH_SECONDS)
    registry._run_exitfuncs()  # again, because the main thread may have registered handlers
    die_of(signum)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # the stream is None, broken, or closed
            continue


def _run_as_usual() -> None:
    """Run all that a normal end of this process runs."""
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
    """Whether the functions of `atexit` were registered by this process, not by its parent.

    A forked child has its parent's functions.  Children of multiprocessing never ran any
    before 3.13.1; since then multiprocessing drops them when it begins a child.
    """
    if hasattr(sys.modules.get(f"{package_of_child()}.popen_fork"), "atexit"):
        return True
    return not (_was_forked or pids.was_forked())


def run_finalizers() -> None:
    """Let multiprocessing end its children, and run its finalizers, as at a normal end."""
    for _, util in loaded_packages():
        util._exit_function()


def package_of_child() -> str | None:
    """The package whose child this process is; `None` if no package started it."""
    for name in PACKAGES:
        process: Any = sys.modules.get(f"{name}.process")
        if process is not None and process.parent_process() is not None:
            return name
    return None


def _hold_main(runs_them: int) -> None:
    """Called by `atexit` first: keep the main thread from running the functions a second time.

    The main thread may come to its end while another thread runs them.
    """
    if _thread.get_ident() != runs_them:
        wait_for_the_end(MAIN_WAITS)
        die_of(next(iter(begun)))


def forked() -> None:
    """In a forked child, forget the parent's end, because it does not end the child."""
    global _was_forked
    _was_forked = True
    begun.clear()


class DieLate:
    """Kills this process by a signal when the interpreter has run everything else.

    `__del__` does so, when the interpreter clears the modules, because Python code can run
    no later and no hook exists for that moment.
    """

    def __init__(self, signum: int) -> None:
        self._die = signum, _signal.signal, _signal.SIG_DFL, _signal.raise_signal

    def __del__(self) -> None:
        signum, set_handler, default, raise_signal = self._die
        set_handler(signum, default)
        raise_signal(signum)
