"""asyncio: exit handlers that are coroutines, run on their loop before it closes.

`register` is for the end of an event loop, as `lastout.register` is for the end of a
process.  asyncio has no hook for that, but it closes all asynchronous generators then.
So this module leaves a generator open for each loop, and its `finally` runs the handlers:

    asyncio.run, Runner.close  -->  tasks cancelled  -->  shutdown_asyncgens  -->  handlers
    a handled signal           -->  exit handlers, on the watcher's thread    -->  handlers
    a loop that is not closed  -->  the end of the process                    -->  handlers

Tested by: tests/integrations/test_asyncio.py
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from contextvars import ContextVar, copy_context
from inspect import isawaitable
from time import monotonic
from weakref import WeakSet

from .. import Failure, Outcome, Report
from .. import register as _at_exit
from .. import unregister as _not_at_exit
from .._exits import registry
from .._exits.exit_handler import ExitHandler
from .._exits.unwinding import late, overrun
from ..deadline import Deadline, check_seconds
from ..errors import HandlerTimeout, UsageError
from ..report import FailureList

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    F = TypeVar("F", bound=Callable[..., object])

_ANSWER_SECONDS = 5.0  # how long a busy loop may keep the end of its process waiting
_LOOK_SECONDS = 0.05
_CANCEL_SECONDS = 0.1  # that a handler has for its own cleanup when it is cancelled

_loops: dict[asyncio.AbstractEventLoop, _LoopHandlers] = {}
_ended: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
_unwinding: ContextVar[bool] = ContextVar("lastout_unwinding", default=False)


def register(func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
    """Call `func(*args, **kwargs)`, and await its result, before the running loop closes.

    Handlers run last in, first out, each in a task of its own, when all other
    tasks have been cancelled.  A handler that fails does not stop the rest.

    Args:
        func: a coroutine function, or any callable.
        args: positional arguments to call it with.
        kwargs: keyword arguments to call it with.

    Returns:
        `func`, which makes it usable as a decorator.

    Raises:
        TypeError: `func` is not callable.
        UsageError: no loop is running here, or its handlers have run already.

    >>> import asyncio
    >>> async def main() -> None:
    ...     register(asyncio.sleep, 0)
    >>> asyncio.run(main())
    """
    _add(ExitHandler(func, args, kwargs))
    return func


def unregister(func: Callable[..., object], /) -> None:
    """Remove every handler of the running loop whose callable equals `func`; silent if none.

    Raises:
        UsageError: no loop is running here.
    """
    here = _loops.get(_running())
    if here is not None:
        here.entries[:] = [entry for entry in here.entries if entry.func != func]


def handler(
    *,
    timeout: float | None = None,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Register a function for the running loop, with options; used as a decorator.

    Args:
        timeout: seconds after which it is cancelled and reported; `None` for no limit.
        args: positional arguments to call it with.
        kwargs: keyword arguments to call it with.

    Returns:
        A decorator that registers a function and returns it unchanged.

    Raises:
        TypeError, UsageError: as `register`, or `timeout` is no number of seconds.
    """
    seconds = check_seconds(timeout, "timeout")

    def decorate(func: F) -> F:
        _add(ExitHandler(func, tuple(args), dict(kwargs or {}), seconds))
        return func

    return decorate


async def unwind(timeout: float | None = None) -> Report:
    """Run every handler of the running loop now, last in first out, and report the outcomes.

    Args:
        timeout: seconds for all handlers together, or `None` for no limit.

    Returns:
        For each handler its name, seconds and outcome.

    Raises:
        TypeError, UsageError: `timeout` is no number of seconds.  Nothing was run.
    """
    deadline = Deadline(check_seconds(timeout, "timeout"))
    here = _loops.get(_running())
    started = monotonic()
    return Report(await here.unwind(deadline) if here else (), monotonic() - started)


def _running() -> asyncio.AbstractEventLoop:
    loop = _running_here()
    if loop is None:
        raise UsageError(
            "no event loop is running here; register a coroutine from within one, or a function"
            " for the end of the process by lastout.register"
        )
    return loop


def _running_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _add(new: ExitHandler) -> None:
    if not callable(new.func):
        raise TypeError(f"an exit handler must be callable, not {new.func!r}")
    loop = _running()
    if loop in _ended:
        raise UsageError(f"the exit handlers of {loop!r} have run: it is about to close")
    here = _loops.get(loop)
    if here is None or here.pid != os.getpid():
        here = _loops[loop] = _LoopHandlers(loop)
    here.add(new)


class _LoopHandlers:
    """The exit handlers of one loop, and the hooks that run them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.entries: list[ExitHandler] = []
        self._turn = asyncio.Lock()
        self._empty = threading.Event()
        self._hooked = False
        self._left_open = self._wait_for_end()
        # The first step makes the loop take note of the generator; it does not wait.
        with suppress(StopIteration):
            self._left_open.__anext__().send(None)

    async def _wait_for_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self.pid == os.getpid():
                await self.unwind(Deadline())
                _ended.add(self.loop)
                _loops.pop(self.loop, None)
                _not_at_exit(self._end_of_process)

    def add(self, entry: ExitHandler) -> None:
        self.entries.append(entry)
        self._empty.clear()
        if not self._hooked:
            self._hooked = True
            _at_exit(self._end_of_process)

    # On the loop.

    async def unwind(self, deadline: Deadline) -> list[Outcome]:
        if _unwinding.get():  # a handler runs the rest
            return await self._run_all(deadline)
        started = monotonic()
        try:
            async with asyncio.timeout(deadline.left()):
                await self._turn.acquire()
        except TimeoutError:
            name = f"{unwind.__module__}.unwind, behind another task"
            return [overrun(name, monotonic() - started)]
        try:
            return await self._run_all(deadline)
        finally:
            self._turn.release()
            if not self.entries:
                self._empty.set()

    async def _run_all(self, deadline: Deadline) -> list[Outcome]:
        outcomes: list[Outcome] = []
        failures = FailureList()
        try:
            # Handlers that are registered while failures are shown run too.
            while self.entries or failures.show():
                if self.entries:
                    outcomes.append(await self._run_last(deadline, failures))
        finally:
            failures.show()  # here too, because the unwinding task may be cancelled
        return outcomes

    async def _run_last(self, deadline: Deadline, failures: FailureList) -> Outcome:
        entry = self.entries.pop()
        started = monotonic()
        limit = deadline.share(bool(self.entries), entry.timeout)
        failure = await self._run(entry, limit)
        seconds = monotonic() - started
        if failure is not None:
            # By the registry, which waits if the handlers of the process are running.
            failures.add(failure, entry.func, failure.__traceback__, registry.show)
        return Outcome(entry.name, seconds, Failure(failure) if failure else None)

    async def _run(self, entry: ExitHandler, limit: float | None) -> BaseException | None:
        context = copy_context()
        context.run(_unwinding.set, True)
        task = self.loop.create_task(_call(entry), context=context)
        try:
            await asyncio.wait([task], timeout=limit)
        finally:
            overdue = not task.done()  # late, or the unwinding task is being cancelled
            if overdue:
                task.cancel()
                await asyncio.wait([task], timeout=_CANCEL_SECONDS)
        if overdue:
            return late(entry.name, limit or 0.0)
        return asyncio.CancelledError() if task.cancelled() else task.result()

    # From outside the loop.

    def _end_of_process(self) -> None:
        """Run the handlers when the process ends, by itself or by a signal, before the loop."""
        self._hooked = False
        if not self.entries or self.pid != os.getpid():
            return
        if self.loop.is_closed():
            self._say_lost()
        elif not self.loop.is_running():
            self.loop.run_until_complete(self.unwind(Deadline()))
        elif _running_here() is not self.loop:
            self._unwind_from_outside()
        # Else a coroutine unwinds the process.  It cannot wait for itself, so the handlers run
        # at the end of the loop.

    def _unwind_from_outside(self) -> None:
        asyncio.run_coroutine_threadsafe(self._unwind_for_another(), self.loop)
        answered = monotonic()
        while not self._empty.wait(_LOOK_SECONDS):  # by looks, because no event says "closed"
            if self.loop.is_closed():
                self._say_lost()
            if self._turn.locked():
                answered = monotonic()
            elif monotonic() - answered > _ANSWER_SECONDS:
                raise HandlerTimeout(
                    f"the event loop was busy for {_ANSWER_SECONDS:g} s with something that does"
                    f" not await; its exit handlers have not run: {self._names()}",
                    handler=self._names(),
                    seconds=_ANSWER_SECONDS,
                )

    async def _unwind_for_another(self) -> None:
        await self.unwind(Deadline())

    def _say_lost(self) -> None:
        raise UsageError(
            f"an event loop was closed without its exit handlers; not run: {self._names()}; use"
            " asyncio.run, or loop.run_until_complete(loop.shutdown_asyncgens()) before close()"
        )

    def _names(self) -> str:
        return ", ".join(entry.name for entry in reversed(self.entries))


async def _call(entry: ExitHandler) -> BaseException | None:
    """Call a handler, and return its exception, because a raised SystemExit would stop the loop."""
    try:
        result = entry.func(*entry.args, **entry.kwargs)
        if isawaitable(result):
            await result
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return error
    return None
