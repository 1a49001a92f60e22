"""Stack: push, remove and unwind exit handlers, from any thread, through any fork.

        push                    claim (a hole in its place)         call
    ---------->  [ h0 h1 h2 ]  ----------------------------> h2 ----------> Outcome
                     |
                     | remove: h1 becomes a hole; holes at the end are cut off

An entry leaves the list before it runs, so each runs at most once; what is
pushed while handlers run is run too.  Entries keep their place for as long as
they are in the list, which is what lets `remove` find them by hash.

Two locks.  `_edit` guards the list and the index for moments and is reentrant,
because a signal handler or an `__eq__` may come back to the stack in the middle
of a change.  `_turn` is held by the one thread that unwinds.  Pushing takes no
lock: it is a single `list.append`.
"""

from __future__ import annotations

import _thread
from os import getpid
from time import monotonic

from .._platform import show_unraisable
from ..errors import HandlerTimeout
from .deadline import Deadline
from .handler import Handler
from .index import Index
from .report import Failure, Outcome
from .runner import call_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .handler import Entry


class Stack:
    """The exit handlers of one process and interpreter, last in, first out."""

    def __init__(self) -> None:
        self.entries: list[Entry | None] = []
        self._of_parents: list[list[Entry | None]] = []
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._index = Index()
        self._edit = _thread.RLock()
        self._turn = _thread.allocate_lock()
        self._unwinders: set[int] = set()
        self._pid = getpid()

    def __len__(self) -> int:
        return len(self.entries) - self.entries.count(None)

    def push(self, entry: Entry) -> None:
        """Put an entry on top."""
        self.entries.append(entry)

    def remove(self, func: object) -> None:
        """Remove every entry whose callable equals `func`.

        Raises:
            Exception: what a comparison raised; the entries found so far are removed.
        """
        with self._edit:
            self._index.take_in(self.entries)
            for place, entry in self._index.matches(func, self.entries):
                if place < len(self.entries) and self.entries[place] is entry:
                    self.entries[place] = None
            self._cut_holes()

    def clear(self) -> None:
        """Forget every entry."""
        with self._edit:
            self.entries.clear()
            self._index = Index()

    def inheritable(self) -> list[Handler]:
        """The handlers that child processes get too, oldest first."""
        return [e for e in list(self.entries) if type(e) is Handler and e.inherit]

    def timed(self) -> int:
        """How many handlers have a time limit."""
        return sum(type(e) is Handler and e.timeout is not None for e in list(self.entries))

    def forget_parent(self) -> None:
        """After a fork: keep nothing of the parent's but what is inheritable.

        The parent's entries are put aside, not dropped: to drop the last
        reference to, say, a `TemporaryDirectory` would remove the parent's
        directory from within the child.
        """
        mine: list[Entry | None] = list(self.inheritable())
        self._of_parents.append(self.entries)
        self.entries = mine
        self._start_afresh()

    def unwind(
        self, deadline: Deadline, show: Callable[[BaseException, object], None] = show_unraisable
    ) -> list[Outcome]:
        """Run every handler, last in first out, also those pushed meanwhile; never raises.

        One thread at a time: another one waits until the first is through, but
        a handler that unwinds, unwinds the rest at once.
        """
        me = _thread.get_ident()
        if me in self._unwinders:
            return self._run_all(deadline, show)
        turn, started = self._turn, monotonic()
        left = deadline.left()
        if not turn.acquire(timeout=-1 if left is None else min(left, _thread.TIMEOUT_MAX)):
            return [_overrun("lastout.unwind, behind another thread", monotonic() - started)]
        try:
            self._unwinders.add(me)
            return self._run_all(deadline, show)
        finally:
            self._unwinders.discard(me)
            turn.release()

    def _run_all(
        self, deadline: Deadline, show: Callable[[BaseException, object], None]
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while True:
            try:
                if not self._run_last(deadline, show, outcomes):
                    return outcomes
            except (MemoryError, RecursionError):
                raise
            except BaseException as error:
                # Ctrl-C between two handlers: shown like one in a handler, and
                # the rest still runs.
                show(error, self.unwind)

    def _run_last(
        self,
        deadline: Deadline,
        show: Callable[[BaseException, object], None],
        outcomes: list[Outcome],
    ) -> bool:
        entry, started, running = None, monotonic(), False
        failure: BaseException | None = None
        try:
            # An exception can come out of the blue (Ctrl-C) only at a call or
            # a jump back.  There is none between the claim's two halves, nor
            # between `running = True` and the call: a handler is either put
            # back below or has been started.
            with self._edit:
                place = self._last()
                if place >= 0:
                    entry = self.entries[place]
                    self.entries[place] = None
            if entry is None:
                return False
            func, args, kwargs = entry[0], entry[1], entry[2]
            limit = deadline.share(len(self), Handler.of(entry).timeout)
            if limit is None:
                running = True
                func(*args, **kwargs)
            else:
                running = True
                failure = self._run_within(limit, entry)
        except BaseException as error:
            if entry is not None and not running:
                self.entries.append(entry)
                raise
            if entry is None:
                raise
            failure = error
        outcomes.append(_outcome(entry, monotonic() - started, failure))
        if failure is not None:
            show(failure, entry[0])
        return True

    def _run_within(self, limit: float, entry: Entry) -> HandlerTimeout | None:
        """Run one entry with a time limit; its thread counts as the unwinding one."""
        func, args, kwargs = entry[0], entry[1], entry[2]
        unwinders = self._unwinders
        runner: list[int] = []

        def body() -> None:
            me = _thread.get_ident()
            if me not in unwinders:
                runner.append(me)
                unwinders.add(me)
            try:
                func(*args, **kwargs)
            finally:
                unwinders.difference_update(runner)

        if call_within(body, limit):
            return None
        unwinders.difference_update(runner)
        return _timeout(Handler.of(entry).name, limit)

    def _last(self) -> int:
        """The place of the topmost entry, or -1."""
        if self._pid != getpid():  # a fork that ran no hooks: C code called fork()
            self.forget_parent()
        self._cut_holes()
        return len(self.entries) - 1

    def _cut_holes(self) -> None:
        entries = self.entries
        while entries and entries[-1] is None:
            del entries[-1]
        self._index.forget_beyond(len(entries))
        if self._index.sparse(entries):
            # `register` appends without a lock: only the part that was looked
            # at is replaced.
            end = len(entries)
            alive = [entry for entry in entries[:end] if entry is not None]
            self._index = Index()
            entries[:end] = alive


def _outcome(entry: Entry, seconds: float, failure: BaseException | None) -> Outcome:
    return Outcome(Handler.of(entry).name, seconds, Failure(failure) if failure else None)


def _timeout(name: str, seconds: float) -> HandlerTimeout:
    return HandlerTimeout(
        f"exit handler {name} did not finish within {seconds:g} s and was abandoned: it may "
        "still be running; give it more time with handler(timeout=...) or do less in it",
        handler=name,
        seconds=seconds,
    )


def _overrun(name: str, seconds: float) -> Outcome:
    return Outcome(name, seconds, Failure(_timeout(name, seconds)))
