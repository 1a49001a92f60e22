"""Before threads: handlers that run before the interpreter joins threads.

    the program ends ==> before threads ==> threads are joined ==> exit handlers
                            [ e0 e1 ]        executors shut down      [ h0 h1 h2 ]

A handler that stops a thread has to run before that thread is joined, so early handlers
lie on a stack of their own.  Unwinding the ordinary stack unwinds the early stack first.

The first registration of an early handler loads this module, and `threading` with it.
CPython calls the hooks of `threading` last hooked first, and an executor's module hooks in
the shutdown of its executors: lastout adds its own hook again after each such import.

Tested by: tests/process/test_before_threads.py
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from importlib import import_module

from .._platform import show_unraisable
from ..deadline import Deadline
from .exit_handler import ExitHandler
from .stack import HandlerStack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType, TracebackType
    from typing import Any

    from ..report import Outcome, Show
    from .exit_handler import Entry

# Modules that hook the shutdown of their executors into `threading` when they are imported.
_EXECUTORS = ("concurrent.futures.thread", "concurrent.futures.process")


class EarlyAndLateStacks(HandlerStack):
    """A stack of ordinary exit handlers, with an early stack that is unwound before it."""

    early: _EarlyStack

    def __len__(self) -> int:
        return super().__len__() + len(self.early)

    def push(self, entry: Entry) -> None:
        """Put an entry on top of the early or the ordinary stack, as its options say.

        While the ordinary handlers run, every entry goes to their stack, because the early
        stack has been unwound.
        """
        before_threads = isinstance(entry, ExitHandler) and entry.before_threads
        if not before_threads or self.unwinders:
            super().push(entry)
            return
        self.notice_fork()
        self.early.push(entry)
        self.inheriting |= self.early.inheriting

    def remove(self, func: object) -> None:
        """Remove every entry whose callable equals `func`."""
        super().remove(func)
        self.early.remove(func)

    def clear(self) -> None:
        """Forget every entry."""
        super().clear()
        self.early.clear()

    def inheritable(self) -> list[ExitHandler]:
        """The handlers that child processes get too: first ordinary, then early; oldest first."""
        return super().inheritable() + self.early.inheritable()

    def timed(self) -> int:
        """How many handlers have a time limit."""
        return super().timed() + self.early.timed()

    def forget_parent(self) -> None:
        """Drop the parent's entries, except inheritable handlers."""
        super().forget_parent()
        self.early.forget_parent()

    def take_over(self, is_void: Callable[[object], bool]) -> None:
        """Keep the parent's entries, except void entries."""
        super().take_over(is_void)
        self.early.take_over(is_void)

    def show(
        self,
        exception: BaseException,
        func: object,
        traceback: TracebackType | None,
        show: Show = show_unraisable,
    ) -> None:
        """Show an exception of `func`: after the last handler, or now if no handler is running."""
        if self.early.unwinders:
            self.failures.add(exception, func, traceback, show)
        else:
            super().show(exception, func, traceback, show)

    def unwind(self, deadline: Deadline, show: Show = show_unraisable) -> list[Outcome]:
        """Run every handler, the early handlers first."""
        self.notice_fork()

        def wait(exception: BaseException, func: object, traceback: TracebackType | None) -> None:
            # Later, because showing takes time that the ordinary handlers may need.
            self.failures.add(exception, func, traceback, show)

        outcomes: list[Outcome] = []
        try:
            outcomes += self.early.unwind(deadline, wait)
        finally:  # Ctrl-C may come between two stacks
            outcomes += super().unwind(deadline, show)
        return outcomes


class _EarlyStack(HandlerStack):
    """The early stack, which shares its time with the ordinary stack that is unwound after it."""

    def __init__(self, later: HandlerStack) -> None:
        super().__init__()
        self._later = later

    def waiting(self) -> bool:
        """Whether there is an entry, on either stack."""
        return super().waiting() or self._later.waiting()


def run(stack: HandlerStack) -> None:
    """Run only the early handlers."""
    if isinstance(stack, EarlyAndLateStacks):
        stack.notice_fork()
        stack.early.unwind(Deadline())


def split(stack: HandlerStack) -> None:
    """Turn `stack` into an `EarlyAndLateStacks`."""
    if not isinstance(stack, EarlyAndLateStacks):
        # In place, because another thread may hold a reference and be pushing right now.
        stack.__dict__["early"] = _EarlyStack(stack)
        stack.__class__ = EarlyAndLateStacks


_is_hooked = False


def hook_up(due: Callable[[], object]) -> None:
    """Have `due` called before the interpreter joins threads."""
    global _is_hooked
    if _is_hooked:
        return
    _is_hooked = True
    hook = partial(_call_at_shutdown, due)
    for name in _EXECUTORS:
        if name in sys.modules:
            import_module(name)  # another thread may be in the middle of it
        else:
            sys.meta_path.insert(0, _ImportWatch(name, hook))
    hook()


def _call_at_shutdown(due: Callable[[], object]) -> None:
    try:
        # Private, for `concurrent.futures` since Python 3.9, but no other hook comes so early.
        threading._register_atexit(due)  # type: ignore[attr-defined]
    except RuntimeError:
        return  # threads are joined already, so early handlers run with the ordinary handlers


class _ImportWatch:
    """A finder for one module, which makes a call once the module has been imported."""

    def __init__(self, name: str, then: Callable[[], object]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None:
            spec.loader = _ObservedLoader(spec.loader, self._loaded)  # type: ignore[assignment]
        return spec

    def _loaded(self) -> None:
        self._then()
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]


class _ObservedLoader:
    """Wraps the loader of one module, and makes a call once the module has been executed."""

    def __init__(self, loader: Any, then: Callable[[], object]) -> None:
        self._loader = loader
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        """Execute the module with its own loader, to which it refers from now on."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then()
