"""Registry: the exit handlers of this process and interpreter, used as `atexit` is.

Each interpreter has its own registry, because the registry is module state and a
subinterpreter imports its own copy of the module.  Each process has its own, because
`children` tells the registry of each fork.  No hook is set before the first registration.

Tested by: tests/process/test_registry.py, tests/process/test_races.py
"""

from __future__ import annotations

import sys
from time import monotonic

from .._platform import show_unraisable
from .._platform.imports import load, public
from ..deadline import Deadline, check_seconds
from ..report import Report
from . import (
    after_end,
    call_all,
    on_before_threads,
    on_first_registration,
    on_inheritable,
    on_normal_end,
)
from .exit_handler import ExitHandler, check_arguments
from .forkserver import is_forkserver, is_void, note
from .stack import HandlerStack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, ParamSpec, TypeVar, overload

    from .exit_handler import Entry

    P = ParamSpec("P")
    R = TypeVar("R")
    F = TypeVar("F", bound=Callable[..., object])


@public
def register(func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
    """Call `func(*args, **kwargs)` when this process, or this interpreter, ends.

    It does not run when the process is killed by a signal that is not handled
    (see `handle_signals`) or ends by `os._exit`, `os.exec*` or `os.abort`.
    Handlers run last in, first out.

    Args:
        func: any callable; without arguments it can be registered by decoration.
        args: positional arguments to call it with.
        kwargs: keyword arguments to call it with.

    Returns:
        `func`, which makes it usable as a decorator.

    Raises:
        TypeError: `func` is not callable.

    Source: `atexit.register` of the standard library.

    >>> import lastout as atexit
    >>> @atexit.register
    ... def goodbye() -> None:
    ...     print("goodbye")
    >>> atexit.unregister(goodbye)
    """
    # This is the hot path: 3 x C's atexit.register at most (see benchmarks/).
    if not callable(func):
        raise TypeError(f"the first argument must be callable, not {func!r}")
    _push((func, args, kwargs))
    return func


@public
def unregister(func: Callable[..., object], /) -> None:
    """Remove every handler whose callable equals (`==`) `func`; silent if there is none.

    The time does not depend on the number of handlers, but callables with an `__eq__`
    of their own have to be compared one by one.

    Args:
        func: the callable as it was registered.

    Raises:
        Exception: a comparison raised it.

    Source: `atexit.unregister` of the standard library.
    """
    _stack.remove(func)


if TYPE_CHECKING:

    @overload
    def handler(func: F, /) -> F: ...
    @overload
    def handler(
        *,
        timeout: float | None = None,
        inherit: bool = False,
        before_threads: bool = False,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Callable[[F], F]: ...


@public
def handler(
    func: Callable[..., object] | None = None,
    /,
    *,
    timeout: float | None = None,
    inherit: bool = False,
    before_threads: bool = False,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Register a function as an exit handler, with options; used as a decorator.

    A handler that runs out of time is abandoned, not stopped: it goes on in a
    thread of its own until the process is gone.  A handler with a `timeout`
    does not run on the main thread.

    Args:
        func: the function, where it is decorated without options.
        timeout: seconds until it is abandoned and reported; `None` for no limit.
        inherit: whether each child process that is started later gets it too.
            To reach a child started by spawn or forkserver it must be picklable.
        before_threads: whether it runs before the interpreter joins threads and shuts
            executors down, and so before all other handlers: for a handler that stops a thread.
        args: positional arguments to call it with.
        kwargs: keyword arguments to call it with.

    Returns:
        A decorator that registers a function and returns it unchanged.

    Raises:
        TypeError: something not callable is decorated, or an option is of the
            wrong type.
        UsageError: `timeout` is negative or not a number (NaN).

    >>> import lastout
    >>> @lastout.handler(timeout=2.0, args=("bye",))
    ... def say(word: str) -> None:
    ...     print(word)
    >>> print(lastout.unwind())  # doctest: +ELLIPSIS
    bye
    1 done in 0.0... s
      done ...say
    """
    chosen = check_seconds(timeout, "timeout"), bool(inherit), bool(before_threads)
    given = check_arguments(args, kwargs)

    def decorate(func: Callable[..., object]) -> Callable[..., object]:
        if not callable(func):
            raise TypeError(f"the decorated object must be callable, not {func!r}")
        add(ExitHandler(func, given[0], given[1], *chosen))
        return func

    return decorate if func is None else decorate(func)


def add(new: ExitHandler) -> None:
    """Register a handler with its options."""
    if new.timeout is not None:
        _prepare_limits(_stack.timed() + 1)
    if _push is _first_push:
        arm_hooks()
    if new.before_threads:
        call_all(on_before_threads)
    _stack.push(new)
    if is_forkserver():
        note(new)
    elif new.inherit:
        call_all(on_inheritable)


def _prepare_limits(count: int) -> None:
    """Make sure that so many handlers with a time limit can run when this process ends."""
    # Loaded now, because an import may fail in the last moment of a process.
    load("lastout._exits.runner")
    from .runner import reserve

    if count and not is_forkserver():  # a fork server runs no handlers
        reserve(count)


@public
def unwind(timeout: float | None = None) -> Report:
    """Run every exit handler now, last in first out, and report the outcomes.

    `unwind` raises no exception of a handler: each is in the report, and is shown
    through `sys.unraisablehook` when the last handler has run.

    Args:
        timeout: seconds for all handlers together, or `None` for no limit.  A handler
            that takes too long is abandoned early enough to leave time for the next.

    Returns:
        For each handler its name, seconds and outcome; and the seconds from begin to end.

    Raises:
        TypeError: `timeout` is not a number.
        UsageError: `timeout` is negative or not a number (NaN).  Nothing was run.

    >>> import lastout
    >>> lastout.unwind(timeout=5.0).ok
    True
    """
    deadline, started = Deadline(check_seconds(timeout, "timeout")), monotonic()
    return Report(_stack.unwind(deadline), monotonic() - started)


@public
def run_exit_handlers() -> None:
    """Run every exit handler now, print each failure, and raise the last one again.

    The documentation of `atexit` promises this for the end of a program.  The
    traceback of a `SystemExit` is not printed.

    Raises:
        BaseException: the last exception of a handler, after all handlers have run.
    """
    outcomes = _stack.unwind(Deadline(), _print_failure)
    failures = [outcome.failure for outcome in outcomes if outcome.failure]
    if failures:
        raise failures[-1].exception


def _print_failure(exception: BaseException, _: object, traceback: TracebackType | None) -> None:
    if not isinstance(exception, SystemExit):
        # CPython's own hook, because it needs no descriptor and next to no memory.
        sys.__excepthook__(type(exception), exception, traceback)


def show(exception: BaseException, func: object, traceback: TracebackType | None) -> None:
    """Show an exception of `func` when the last handler has run, or now if none is running."""
    _stack.show(exception, func, traceback)


@public
def _run_exitfuncs() -> None:
    """Run every exit handler now; failures go to `sys.unraisablehook`."""
    _stack.unwind(Deadline())


@public
def _clear() -> None:
    """Forget every exit handler without running it."""
    _stack.clear()


@public
def _ncallbacks() -> int:
    """How many exit handlers are registered."""
    return len(_stack)


def inheritable() -> list[ExitHandler]:
    """The handlers that a child process started now would get, oldest first."""
    return _stack.inheritable()


def arm_hooks() -> None:
    """Set the hooks that run the handlers when this process ends."""
    global _push
    _stack.notice_fork()
    call_all(on_first_registration)
    _push = _push_for_children if is_forkserver() else _stack.entries.append


def _push_for_children(entry: Entry) -> None:
    _stack.entries.append(entry)
    note(entry)


def _first_push(entry: Entry) -> None:
    arm_hooks()
    _push(entry)


def forked(keep: bool = False) -> None:
    """In a forked child, have the next registration set the hooks.

    The stack forgets its parent's entries when it is used next, because a forked child pays
    for each page of memory that it touches, and most children register nothing.

    Args:
        keep: whether the parent's entries become this child's, because a fork server
            registers handlers for its children.
    """
    if keep:
        _stack.take_over(is_void)
    else:
        _stack.forked = True
    _look_again()


def begin_as_heir() -> None:
    """In a child of a fork server, prepare the kept handlers as registering them would."""
    _prepare_limits(_stack.timed())
    if _stack.inheriting:
        call_all(on_inheritable)


def _look_again() -> None:
    global _push
    _push = _first_push


_push: Callable[[Entry], None] = _first_push
_stack = HandlerStack(_look_again)


def exchange(stack: HandlerStack) -> HandlerStack:
    """Have every function here act on another stack; returns the former stack."""
    global _stack, _push
    former, _stack = _stack, stack
    _push = _first_push  # because `_push` may be a method of the former stack's list
    return former


def new_stack() -> HandlerStack:
    """A new stack, to be given to `exchange`."""
    return HandlerStack(_look_again)


def is_unwinding() -> bool:
    """Whether some thread of this process runs handlers now."""
    return bool(_stack.unwinders)


def wait_for_unwinding() -> None:
    """Wait until no other thread runs handlers."""
    _stack.wait_for_unwinding()


def is_inheriting() -> bool:
    """Whether child processes may have handlers to inherit."""
    return _stack.inheriting


def end() -> None:
    """Run every handler, because the process ends; raises nothing."""
    try:
        run = on_normal_end[0] if on_normal_end else _run_exitfuncs
        if run() is not False:  # else multiprocessing calls `end` again
            call_all(after_end)
    except BaseException as error:
        # Not raised, because a SystemExit of one finalizer would make multiprocessing skip
        # the remaining finalizers and joins.
        show_unraisable(error, end)
