"""exit_registry: exit handlers of one test, apart from the handlers of the process.

Tested by: tests/pytest_plugin/test_exits.py
"""

from __future__ import annotations

from contextlib import contextmanager

from .._exits import registry
from ..deadline import Deadline
from ..report import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import ParamSpec, TypeVar

    from .._exits.stack import HandlerStack

    P = ParamSpec("P")
    R = TypeVar("R")


class ExitRegistry:
    """The exit handlers of one test, with the functions that `lastout` has for them.

    They are the same functions: while the test runs, `lastout.register` and the rest
    act on this registry, from any caller.

    ======================  =====================================================
    `register`              put a handler on it, to be called with these arguments
    `unregister`            take all handlers that equal this one off it
    `handler`               the decorator: with a time limit, for children too
    `unwind`                run them all now, the last one first; a `Report`
    `run_exit_handlers`     the same, but the last exception is raised again
    `_run_exitfuncs`        as that of `atexit`
    `_clear`                forget them all, without running them
    `_ncallbacks`           how many there are
    `len(...)`              the same
    ======================  =====================================================
    """

    unregister = staticmethod(registry.unregister)
    handler = staticmethod(registry.handler)
    unwind = staticmethod(registry.unwind)
    run_exit_handlers = staticmethod(registry.run_exit_handlers)
    _run_exitfuncs = staticmethod(registry._run_exitfuncs)
    _clear = staticmethod(registry._clear)
    _ncallbacks = staticmethod(registry._ncallbacks)

    def __init__(self, stack: HandlerStack) -> None:
        self._stack = stack

    @staticmethod
    def register(func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
        """As `lastout.register`."""
        return registry.register(func, *args, **kwargs)

    def __len__(self) -> int:
        return len(self._stack)

    def __repr__(self) -> str:
        return f"<ExitRegistry with {len(self)} handlers>"


_outer: list[HandlerStack] = []


@contextmanager
def isolated_registry() -> Iterator[ExitRegistry]:
    """A registry for the block, whose handlers run at its end.

    Raises:
        BaseExceptionGroup: the exceptions of the handlers.
    """
    mine = registry.new_stack()
    _outer.append(registry.exchange(mine))
    try:
        yield ExitRegistry(mine)
        # Only reported, not shown, because pytest would print each failure a second time.
        Report(mine.unwind(Deadline(), lambda *_: None)).raise_failures()
    finally:
        registry.exchange(_outer.pop())


@contextmanager
def registry_of_process() -> Iterator[None]:
    """Use the registry of the process in the block, for handlers that outlive a test."""
    if not _outer:
        yield
        return
    isolated = registry.exchange(_outer[0])
    try:
        yield
    finally:
        registry.exchange(isolated)
