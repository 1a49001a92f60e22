"""Signal checks: which signals a program can handle, and in which thread it can set handlers.

Tested by: tests/process/test_signals_setup.py
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import signal

from .._platform import in_main_interpreter
from .._platform.genuine import in_main_thread
from ..errors import UsageError

# Refused, because an instruction of the program raises these, and a handler in Python would
# return to the same instruction for ever.
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
_NEVER = {signal.SIGKILL, signal.SIGSTOP}


def check_signal(signum: int | str) -> int:
    """The number of a signal, checked to be a signal that a Python program can handle.

    Raises:
        TypeError: `signum` is neither a number nor a name.
        UsageError: no signal has that name, or the signal cannot be handled.
    """
    if isinstance(signum, str):
        found = getattr(signal, signum, None)
        if not isinstance(found, signal.Signals):
            raise UsageError(
                f"there is no signal {signum!r}; a name is such as 'SIGTERM'", signum=signum
            )
        signum = found
    if isinstance(signum, bool) or not isinstance(signum, int):
        raise TypeError(
            f"a signal must be a number such as signal.SIGTERM or a name, not {signum!r}"
        )
    if signum not in _signal.valid_signals():
        raise UsageError(f"there is no signal {signum} that a program can handle", signum=signum)
    if signum in _NEVER | _FAULTS:
        raise UsageError(f"{name_of(signum)} cannot be handled by a Python program", signum=signum)
    return int(signum)


def name_of(signum: int) -> str:
    """The name of a signal in an error message."""
    try:
        return signal.Signals(signum).name
    except ValueError:  # a real-time signal
        return f"signal {signum}"


def check_main_thread(what: str) -> None:
    """Raise `UsageError` unless this thread may set signal handlers."""
    if not in_main_interpreter() or not in_main_thread():
        raise UsageError(
            f"{what} was called outside the main thread of the main interpreter, the only one "
            "that can set signal handlers; call it there, before starting threads"
        )
