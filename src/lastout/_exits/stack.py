"""HandlerStack: push, remove and unwind exit handlers, from any thread, through any fork.

        push                    claim (a hole in its place)         call
    ---------->  [ h0 h1 h2 ]  ----------------------------> h2 ----------> Outcome
                     |
                     | remove: h1 becomes a hole; holes at the end are cut off

An entry leaves the list before it runs (see `unwinding`), so each runs at most
once.  Entries keep their place while they are in the list, so `remove` can find
them by hash.

There are two locks.  `_edit` guards the list and the index for moments and is
reentrant, because a signal handler or an `__eq__` may use the stack in the middle
of a change.  The thread that unwinds holds `_turn`.  Pushing takes no lock, because
it is a single `list.append`.

Tested by: tests/process/test_stack.py, tests/process/test_unwinding.py,
    tests/properties/test_stack.py
"""

from __future__ import annotations

import _thread
from os import getpid
from time import monotonic

from .._platform import show_unraisable
from ..report import FailureList
from .callable_index import CallableIndex
from .exit_handler import ExitHandler
from .unwinding import StackUnwinding, overrun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, TypeVar

    from ..deadline import Deadline
    from ..report import Outcome, Show
    from .exit_handler import Entry

    P = ParamSpec("P")
    R = TypeVar("R")


class HandlerStack:
    """The exit handlers of one process and interpreter, last in, first out."""

    def __init__(self, replaced: Callable[[], None] = lambda: None) -> None:
        """Make an empty stack; `replaced` is called when `entries` has become another list.

        Attributes:
            forked: whether this process was forked since the entries were pushed.
        """
        self.entries: list[Entry | None] = []
        self._replaced = replaced
        self.inheriting = False
        self._of_parents: list[object] = []
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._index: CallableIndex | None = CallableIndex()
        self._edit = _thread.RLock()
        self._turn = _thread.RLock()
        self.unwinders: set[int] = set()
        self.failures = FailureList()
        self._pid = getpid()
        self.forked = False

    def __len__(self) -> int:
        self.notice_fork()
        entries = list(self.entries)  # other threads make holes between two looks
        return len(entries) - entries.count(None)

    def push(self, entry: Entry) -> None:
        """Put an entry on top; a plain tuple may be appended to `entries` instead."""
        if isinstance(entry, ExitHandler) and entry.inherit:
            self.inheriting = True
        self.entries.append(entry)

    def remove(self, func: object) -> None:
        """Remove every entry whose callable equals `func`.

        Raises:
            Exception: a comparison raised it; the entries found so far are removed.
        """
        self.notice_fork()
        self._change(self._remove, func)

    def _remove(self, func: object) -> None:
        entries, index = self.entries, self._borrow_index()
        index.take_in(entries)
        for place, entry in index.matches(func, entries):
            if _take(entries, place, entry):
                index.forget(place, entry)
        self._cut_holes(index)
        self._compact(index)
        self._return_index(index)

    def clear(self) -> None:
        """Forget every entry."""
        self.notice_fork()
        self._change(self._clear)

    def _clear(self) -> None:
        self._index = CallableIndex()
        self.entries.clear()

    def _change(self, change: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a change while no other thread makes one.

        Not by `with`, because from Python 3.14 Ctrl-C may come after `with` has taken the lock
        and before its block, and then the lock is never released.  A `finally` without a call
        before the release leaves Ctrl-C no such moment.
        """
        edit = self._edit
        try:
            edit.acquire()
            return change(*args, **kwargs)
        finally:
            try:  # noqa: SIM105  contextlib takes long to import
                edit.release()
            except RuntimeError:  # Ctrl-C came while this thread waited for the lock
                pass

    def inheritable(self) -> list[ExitHandler]:
        """The handlers that child processes get too, oldest first."""
        self.notice_fork()
        return _inherited(list(self.entries))

    def wait_for_unwinding(self) -> None:
        """Wait until no other thread runs handlers."""
        turn = self._turn
        turn.acquire()
        turn.release()

    def timed(self) -> int:
        """How many handlers have a time limit."""
        return sum(isinstance(e, ExitHandler) and e.timeout is not None for e in list(self.entries))

    def forget_parent(self) -> None:
        """Take the parent's entries off the stack, except inheritable handlers.

        The child keeps a reference to them, because dropping the last reference to, say,
        a `TemporaryDirectory` would remove the parent's directory.
        """
        mine: list[Entry | None] = [*_inherited(self.entries)] if self.inheriting else []
        # The list itself, not a copy, because touching its entries would cost page faults.
        self._of_parents.append((self.entries, self.failures))
        self.entries = mine
        self._start_afresh()
        self._replaced()

    def take_over(self, is_void: Callable[[object], bool]) -> None:
        """Keep the parent's entries, except void entries, because this process runs them."""
        self.entries = [entry for entry in self.entries if not is_void(entry)]
        self._start_afresh()
        self._replaced()

    def show(
        self,
        exception: BaseException,
        func: object,
        traceback: TracebackType | None,
        show: Show = show_unraisable,
    ) -> None:
        """Show an exception of `func`: after the last handler, or now if no handler is running."""
        self.notice_fork()
        self.failures.add(exception, func, traceback, show)
        if not self.unwinders:
            self.failures.show()

    def unwind(self, deadline: Deadline, show: Show = show_unraisable) -> list[Outcome]:
        """Run every handler, last in first out, also those pushed meanwhile.

        One thread at a time: a second thread waits until the first has finished, but a
        handler that calls `unwind` unwinds the rest at once.  Exceptions of handlers are
        not raised, but shown when the last handler has run.
        """
        self.notice_fork()
        me = _thread.get_ident()
        if me in self.unwinders:
            return StackUnwinding(self, deadline, show, nested=True).run()
        turn, unwinders, started = self._turn, self.unwinders, monotonic()
        try:
            if not turn.acquire(timeout=_lock_timeout(deadline)):
                return [overrun("lastout.unwind, behind another thread", monotonic() - started)]
            unwinders.add(me)
            return StackUnwinding(self, deadline, show).run()
        finally:
            # Nested, because Ctrl-C may come right after the lock was taken, and in here too:
            # the inner `finally` leaves it no moment before the release.
            try:
                unwinders.discard(me)
            finally:
                try:
                    turn.release()
                except RuntimeError:  # Ctrl-C came before the lock was taken
                    unwinders.discard(me)

    def claim(self, claimed: list[Entry | None], below: int | None = None) -> int:
        """Move the topmost entry into `claimed[0]`, which stays `None` if the stack is empty.

        An entry is always in one place: on the stack, in `claimed`, or with the function that
        took it out of there to call it or put it back.

        Args:
            claimed: a list of one.
            below: forget entries at this place and above.

        Returns:
            The place that the entry had; below zero if the stack is empty.
        """
        return self._change(self._claim, claimed, below)

    def _claim(self, claimed: list[Entry | None], below: int | None) -> int:
        entries, index = self.entries, self._borrow_index()
        while True:
            if below is not None:
                index.forget_beyond(below)
                del entries[below:]
            self._cut_holes(index)
            place = len(entries) - 1
            if place < 0:
                break
            try:
                # Nothing comes between these two lines, because CPython raises Ctrl-C and
                # switches threads only at calls and jumps back.
                claimed[0] = entries[place]
                entries[place] = None
            except IndexError:  # a signal handler unwound the stack meanwhile
                continue
            if claimed[0] is not None:
                index.forget(place, claimed[0])
                self._cut_holes(index)
                break
        self._return_index(index)
        return place

    def put_back(self, entry: Entry) -> None:
        """Put an entry that was claimed and not started on top again."""
        self.entries.append(entry)

    def waiting(self) -> bool:
        """Whether there is an entry."""
        # No generator, because from Python 3.14 closing a generator may swallow Ctrl-C.
        for entry in reversed(self.entries):  # noqa: SIM110
            if entry is not None:
                return True
        return False

    def notice_fork(self) -> None:
        """Forget the parent's entries if this is a child that was forked since."""
        # The process id is compared too, because a fork in C runs no hooks.
        if self.forked or self._pid != getpid():
            self.forget_parent()

    def _borrow_index(self) -> CallableIndex:
        """Take the index off the stack, for one change.

        A signal handler or an `__eq__` that uses the stack in the middle of a change finds no
        index and leaves a new index, so `_return_index` sees that this index is out of date.
        """
        index, self._index = self._index, None
        return index or CallableIndex()

    def _return_index(self, index: CallableIndex) -> None:
        self._index = index if self._index is None else CallableIndex()

    def _cut_holes(self, index: CallableIndex) -> None:
        entries = self.entries
        while True:
            # In this order, and by its place, so that an entry that another thread pushes in
            # between is neither cut off nor taken to be in the index.
            last = len(entries) - 1
            index.forget_beyond(last)
            try:
                if last < 0 or entries[last] is not None:
                    return
                del entries[last]
            except IndexError:  # a signal handler unwound the stack meanwhile
                continue

    def _compact(self, index: CallableIndex) -> None:
        """Close up the holes once there are more of them than entries."""
        if index.sparse():
            entries, end = self.entries, len(self.entries)
            alive = [entry for entry in entries[:end] if entry is not None]
            if self._index is None:  # else a comparison or signal handler used the stack meanwhile
                entries[:end] = alive  # up to `end`, because pushing takes no lock
                self._index = CallableIndex()


def _inherited(entries: list[Entry | None]) -> list[ExitHandler]:
    return [entry for entry in entries if isinstance(entry, ExitHandler) and entry.inherit]


def _take(entries: list[Entry | None], place: int, entry: Entry) -> bool:
    """Make a hole of `entry` if it still lies at `place`."""
    try:
        if entries[place] is entry:
            entries[place] = None
            return True
    except IndexError:  # a signal handler unwound the stack meanwhile
        return False
    return False


def _lock_timeout(deadline: Deadline) -> float:
    left = deadline.left()
    return -1 if left is None else min(left, _thread.TIMEOUT_MAX)
