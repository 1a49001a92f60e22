"""Before threads: handlers that run before the interpreter joins threads.

    the program ends ==> before threads ==> threads are joined ==> exit handlers
                            [ e0 e1 ]        executors shut down      [ h0 h1 h2 ]

A handler that is to stop a thread has to run before that thread is joined, so these
lie on a stack of their own.  Whatever unwinds the other stack unwinds this one first.

Loaded when the first such handler is registered, `threading` with it.  CPython calls
what is hooked into `threading` last hooked first, and the hooks of executors shut them
down: ours is hooked in again after each of them.
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

# Each hooks its shutdown into `threading` when it is imported.
_EXECUTORS = ("concurrent.futures.thread", "concurrent.futures.process")


class EarlyAndLateStacks(HandlerStack):
    """A stack of exit handlers, and before it one for those that run before threads are joined."""

    early: _EarlyStack

    def __len__(self) -> int:
        return super().__len__() + len(self.early)

    def push(self, entry: Entry) -> None:
        """Put an entry on top of the stack that it is for.

        While the ordinary handlers run, there is nothing left to come before: it is one of them.
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
        """The handlers that child processes get too; those of each stack oldest first."""
        return super().inheritable() + self.early.inheritable()

    def timed(self) -> int:
        """How many handlers have a time limit."""
        return super().timed() + self.early.timed()

    def forget_parent(self) -> None:
        """Keep nothing of the parent's but what is inheritable."""
        super().forget_parent()
        self.early.forget_parent()

    def take_over(self, is_void: Callable[[object], bool]) -> None:
        """Keep the parent's entries, but for void ones."""
        super().take_over(is_void)
        self.early.take_over(is_void)

    def show(
        self,
        exception: BaseException,
        func: object,
        traceback: TracebackType | None,
        show: Show = show_unraisable,
    ) -> None:
        """Show what came out of `func`: after the last handler, or now where none runs."""
        if self.early.unwinders:
            self.failures.add(exception, func, traceback, show)
        else:
            super().show(exception, func, traceback, show)

    def unwind(self, deadline: Deadline, show: Show = show_unraisable) -> list[Outcome]:
        """Run every handler, those that come before threads are joined first."""
        self.notice_fork()

        def wait(exception: BaseException, func: object, traceback: TracebackType | None) -> None:
            # To show it takes time, and those on the other stack wait for their turn.
            self.failures.add(exception, func, traceback, show)

        outcomes: list[Outcome] = []
        try:
            outcomes += self.early.unwind(deadline, wait)
        finally:  # Ctrl-C may come between two stacks
            outcomes += super().unwind(deadline, show)
        return outcomes


class _EarlyStack(HandlerStack):
    """What runs before threads are joined, and leaves time for the stack that comes after it."""

    def __init__(self, later: HandlerStack) -> None:
        super().__init__()
        self._later = later

    def waiting(self) -> bool:
        """Whether there is an entry, on either stack."""
        return super().waiting() or self._later.waiting()


def run(stack: HandlerStack) -> None:
    """Run only those that come before threads are joined."""
    if isinstance(stack, EarlyAndLateStacks):
        stack.notice_fork()
        stack.early.unwind(Deadline())


def split(stack: HandlerStack) -> None:
    """Have `stack` be two from now on."""
    if not isinstance(stack, EarlyAndLateStacks):
        # In its place: who holds it, and pushes to it right now, goes on with it.
        stack.__dict__["early"] = _EarlyStack(stack)
        stack.__class__ = EarlyAndLateStacks


_is_hooked = False


def hook_up(due: Callable[[], object]) -> None:
    """See to it that `due` is called before threads are joined."""
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
        # Since Python 3.9, for `concurrent.futures`; nothing else comes before the joining.
        threading._register_atexit(due)  # type: ignore[attr-defined]
    except RuntimeError:
        return  # threads are joined already: what is registered runs with all others


class _ImportWatch:
    """Finds one module as ever, and has a call made when that has been imported."""

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
    """Loads one module as its own loader does, and makes a call when that has been executed."""

    def __init__(self, loader: Any, then: Callable[[], object]) -> None:
        self._loader = loader
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        """Execute it, as a module that was never watched."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then()
