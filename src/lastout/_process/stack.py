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
        self._index: Index | None = Index()
        self._edit = _thread.RLock()
        self._turn = _thread.RLock()
        self._unwinders: set[int] = set()
        self._pid = getpid()

    def settle(self) -> None:
        """This process is the one that the stack belongs to."""
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
        with self._edit:
            self._index = Index()
            self.entries.clear()

    def inheritable(self) -> list[Handler]:
        """The handlers that child processes get too, oldest first."""
        return [e for e in list(self.entries) if isinstance(e, Handler) and e.inherit]

    def timed(self) -> int:
        """How many handlers have a time limit."""
        return sum(isinstance(e, Handler) and e.timeout is not None for e in list(self.entries))

    def forget_parent(self) -> None:
        """After a fork: keep nothing of the parent's but what is inheritable.

        The parent's entries are put aside, not dropped: to drop the last
        reference to, say, a `TemporaryDirectory` would remove the parent's
        directory from within the child.
        """
        mine = self.inheritable()
        self._of_parents.append(list(self.entries))
        self.entries[:] = mine  # the same list: `push` may be bound to it elsewhere
        self._start_afresh()

    def unwind(
        self, deadline: Deadline, show: Callable[[BaseException, object], None] = show_unraisable
    ) -> list[Outcome]:
        """Run every handler, last in first out, also those pushed meanwhile.

        One thread at a time: another one waits until the first is through, but
        a handler that unwinds, unwinds the rest at once.  What a handler raises
        is shown and never comes out of here.
        """
        self._notice_bare_fork()
        me = _thread.get_ident()
        if me in self._unwinders:
            return self._run_all(deadline, show)
        turn, unwinders, started = self._turn, self._unwinders, monotonic()
        try:
            if not turn.acquire(timeout=_lock_timeout(deadline)):
                return [_overrun("lastout.unwind, behind another thread", monotonic() - started)]
            unwinders.add(me)
            return self._run_all(deadline, show)
        finally:
            # Asked of the lock, because Ctrl-C may come right after it was taken.
            unwinders.discard(me)
            if turn._is_owned():  # type: ignore[attr-defined]
                turn.release()

    def _run_all(
        self, deadline: Deadline, show: Callable[[BaseException, object], None]
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while True:
            try:
                if not self._run_last(deadline, show, outcomes):
                    return outcomes
            except KeyboardInterrupt as error:
                # Ctrl-C between two handlers: shown like one in a handler, and
                # the rest still runs.
                show(error, self.unwind)

    def _run_last(
        self,
        deadline: Deadline,
        show: Callable[[BaseException, object], None],
        outcomes: list[Outcome],
    ) -> bool:
        """Claim the topmost handler and run it; False when there is none."""
        self._notice_bare_fork()
        started = monotonic()
        entry: Entry | None = None
        claimed: list[Entry | None] = [None]
        failure: BaseException | None = None
        try:
            self._claim(claimed)
            entry = claimed[0]
            if entry is None:
                return False
            func, args, kwargs = entry[0], entry[1], entry[2]
            handler = Handler.of(entry)
            limit = deadline.share(self._others_wait(), handler.timeout)
            if limit is not None:
                failure = self._run_within(limit, claimed, handler.name)
            else:
                # Ctrl-C raises at calls and jumps only: not between these two lines.
                claimed[0] = None
                func(*args, **kwargs)
        except BaseException as error:
            unstarted, claimed[0] = claimed[0], None
            if unstarted is not None:
                self.entries.append(unstarted)
            if unstarted is not None or entry is None:
                raise
            failure = error
        outcomes.append(_outcome(entry, monotonic() - started, failure))
        if failure is not None:
            show(failure, entry[0])
        return True

    def _claim(self, claimed: list[Entry | None]) -> None:
        """Move the topmost entry into `claimed`.

        It is always in one place: on the stack, in `claimed`, or taken out of
        there by the one that calls it or puts it back.
        """
        with self._edit:
            entries, index = self.entries, self._borrow_index()
            while claimed[0] is None:
                self._cut_holes(index)
                place = len(entries) - 1
                if place < 0:
                    break
                try:
                    # No call and no jump between these two.
                    claimed[0] = entries[place]
                    entries[place] = None
                except IndexError:  # a signal handler unwound the stack meanwhile
                    continue
                if claimed[0] is not None:
                    index.forget(place, claimed[0])
            self._return_index(index)

    def _run_within(
        self, limit: float, claimed: list[Entry | None], name: str
    ) -> HandlerTimeout | None:
        """Run what was claimed, with a time limit; its thread counts as the unwinding one."""
        from .runner import call_within  # seldom needed; loaded when a limit is set

        unwinders = self._unwinders
        runner: list[int] = []

        def body() -> None:
            me = _thread.get_ident()
            if me not in unwinders:
                runner.append(me)
                unwinders.add(me)
            try:
                entry, claimed[0] = claimed[0], None
                if entry is not None:  # else Ctrl-C came first and it was put back
                    entry[0](*entry[1], **entry[2])
            finally:
                unwinders.difference_update(runner)

        if call_within(body, limit):
            return None
        unwinders.difference_update(runner)
        return _timeout(name, limit)

    def _others_wait(self) -> bool:
        return any(entry is not None for entry in reversed(self.entries))

    def _notice_bare_fork(self) -> None:
        """C code can call fork() without any of Python's hooks."""
        if self._pid != getpid():
            self.forget_parent()

    def _borrow_index(self) -> Index:
        """The index, for one change.

        Whoever comes back to the stack in the middle of a change finds none
        and leaves a new one, which tells that the borrowed one is out of date.
        """
        index, self._index = self._index, None
        return index or Index()

    def _return_index(self, index: Index) -> None:
        self._index = index if self._index is None else Index()

    def _cut_holes(self, index: Index) -> None:
        entries = self.entries
        while True:
            # In this order: an entry that another thread pushes in between is
            # neither cut off nor thought to be known.
            index.forget_beyond(len(entries) - 1)
            if not entries or entries[-1] is not None:
                return
            del entries[-1]

    def _compact(self, index: Index) -> None:
        """Close up the holes once there are more of them than entries."""
        if index.sparse():
            entries, end = self.entries, len(self.entries)
            alive = [entry for entry in entries[:end] if entry is not None]
            if self._index is None:  # nobody came back to the stack meanwhile
                entries[:end] = alive  # only what was looked at: pushing takes no lock
                self._index = Index()


def _take(entries: list[Entry | None], place: int, entry: Entry) -> bool:
    """Make a hole of `entry` if it still lies at `place`."""
    try:
        if entries[place] is entry:
            entries[place] = None
            return True
    except IndexError:  # unwound meanwhile
        return False
    return False


def _lock_timeout(deadline: Deadline) -> float:
    left = deadline.left()
    return -1 if left is None else min(left, _thread.TIMEOUT_MAX)


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
