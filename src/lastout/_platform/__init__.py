"""Differences between systems and versions of Python; no other package asks for them.

Everything here is a small function or a constant, so that the rest of lastout
reads the same on every system.  This module asks the interpreter, `pids` asks
about processes, and `files` about files.

Tested by: tests/test_platform.py, tests/process/test_forkserver.py,
    tests/process/test_other_systems.py
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, NoReturn

if sys.implementation.name != "cpython":
    # Refused, because each handler runs exactly once only where signals and threads come in at
    # CPython's few points.  On PyPy they come in anywhere, and it has no pidfds.
    raise ImportError(
        f"lastout supports CPython only, and this is {sys.implementation.name}, where Ctrl-C can"
        " lose an exit handler and programs cannot be ended safely; run it with CPython 3.11 or"
        " later, or use the standard library's atexit and tempfile"
    )

HAS_FORK = hasattr(os, "register_at_fork")

# CPython 3.12 starts no thread once the interpreter has begun to end, which is when exit
# handlers run; 3.11 and 3.13 do (tried on 3.11.7, 3.12.1 and 3.13.0).
THREADS_START_AT_EXIT = sys.version_info[:2] != (3, 12)


def counter() -> Callable[[], int]:
    """A function that returns 1, 2, 3 and so on, and never the same number to two threads."""
    from itertools import count

    following = count(1).__next__
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        return following
    # A lock, because without the GIL `count` of CPython 3.13 may give two threads the same.
    import _thread

    lock = _thread.RLock()  # reentrant, because a signal handler may call this too

    def locked() -> int:
        with lock:
            return following()

    return locked


def in_main_interpreter() -> bool:
    """Whether this is the process's main interpreter, not a subinterpreter."""
    if sys.version_info >= (3, 13):
        import _thread

        return bool(_thread._is_main_interpreter())  # type: ignore[attr-defined,unused-ignore]
    try:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return True  # this Python was built without subinterpreters
    return bool(interpreters.get_current() == interpreters.get_main())


def interpreter_id() -> int:
    """The number of this interpreter in its process; 0 is the main one."""
    if in_main_interpreter():
        return 0
    if sys.version_info >= (3, 13):
        import _interpreters  # type: ignore[import-not-found,unused-ignore]

        return int(_interpreters.get_current()[0])
    import _xxsubinterpreters as interpreters  # type: ignore[import-not-found,unused-ignore]

    return int(interpreters.get_current())


def show_unraisable(
    exception: BaseException, func: object, traceback: TracebackType | None = None
) -> None:
    """Show an exception of an exit handler, exactly as this CPython's atexit does.

    The exception goes to `sys.unraisablehook`.  Up to 3.12 the handler is the hook's
    `object`; from 3.13 that is `None` and the message names the handler.
    """
    hook = getattr(sys, "unraisablehook", sys.__unraisablehook__)
    call = _call_plainly if hook is sys.__unraisablehook__ and _is_plain(exception) else _call
    message, subject = "Exception ignored in atexit callback", func
    if sys.version_info >= (3, 13):
        message, subject = f"{message} {safe_repr(func)}", None
    arguments = _unraisable_arguments(
        (type(exception), exception, traceback or exception.__traceback__, message, subject)
    )
    try:
        call(hook, arguments)
    except BaseException as error:
        # As CPython does, show the failure of a hook by the default hook.
        failed = "Exception ignored in sys.unraisablehook"
        fields = (type(error), error, error.__traceback__, failed, hook)
        sys.__unraisablehook__(_unraisable_arguments(fields))


def _is_plain(exception: BaseException) -> bool:
    """Whether CPython's C code prints the same for `exception` as the module `traceback`."""
    more = exception.__cause__, exception.__context__, getattr(exception, "__notes__", None)
    special = isinstance(exception, (BaseExceptionGroup, SyntaxError))
    return bool(exception.args) and not any(more) and not special


def _import_but_traceback(name: str, *details: Any) -> object:
    if name == "traceback" and name not in sys.modules:
        raise ImportError(name)
    return __import__(name, *details)


def _call(hook: Callable[[Any], object], arguments: Any) -> None:
    hook(arguments)


# The default hook of 3.15 loads `traceback`, and fifty modules with it, for colours; if the
# import fails, it prints as the hook of 3.14 does.  A function with its own `__import__` makes
# it fail, because C code imports by the builtins of its caller.
_function: Any = type(_call)
_call_plainly = _function(_call.__code__, {"__builtins__": {"__import__": _import_but_traceback}})


def safe_repr(value: object) -> str:
    """`repr(value)`, or the `repr` of a plain object if that raises."""
    try:
        return repr(value)
    except Exception:
        return object.__repr__(value)


def _unraisable_arguments(fields: tuple[object, ...]) -> Any:
    # The default hook accepts only this type, which has no public name.
    types: list[Any] = tuple.__subclasses__()
    return next(one for one in types if one.__name__ == "UnraisableHookArgs")(fields)


_set_handler: Callable[[int, int | None], object] | None = None


def prepare_to_die() -> None:
    """Load what `die_of` needs while there is still time and memory to do so.

    Raises:
        ImportError: this Python was built without ctypes.
    """
    global _set_handler
    if _set_handler is None:
        # The same as `ctypes.pythonapi`, without the half of ctypes that is written in Python,
        # because loading that takes most of the time.
        from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_PYTHONAPI, CFuncPtr, dlopen, dlsym

        class CFunction(CFuncPtr):
            _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI  # call with the interpreter lock held

        this_program = dlopen(None)  # type: ignore[arg-type,unused-ignore]
        _set_handler = CFunction(dlsym(this_program, "PyOS_setsig"))


def default_action(signum: int) -> None:
    """Give `signum` back to the kernel's default action, from any thread.

    `signal.signal` works in the main thread only, which may sit in a C call
    that never ends; CPython's own C function has no such limit.
    """
    prepare_to_die()
    assert _set_handler is not None
    _set_handler(signum, None)  # SIG_DFL is the null pointer


def die_of(signum: int) -> NoReturn:
    """End this process by `signum`, so that its parent sees the true status."""
    import signal

    default_action(signum)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    # To this thread, because a signal to the process may go to another thread and be
    # delivered only after the next line.
    signal.raise_signal(signum)
    # The process still runs if it is process 1 of a container, for which the kernel drops the
    # signal, or if the default action does nothing.  A shell shows the same number.
    os._exit(128 + signum)


def interpreter_has(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    from importlib.util import find_spec

    return find_spec(module) is not None
