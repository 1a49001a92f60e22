"""StackUnwinding: run the handlers of a stack one after the other, whatever happens.

What is pushed while handlers run is run too, and first: what a handler sets up
may rest on older things.  Only when that does not end, because a thread or a
handler registers for ever, is it forgotten, so that the older ones get their
turn.
"""

from __future__ import annotations

import _thread
from time import monotonic

from ..errors import HandlerTimeout
from ..report import Failure, Outcome
from .exit_handler import ExitHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Protocol

    from ..deadline import Deadline
    from ..report import FailureList, Show
    from .exit_handler import Entry

    class UnwindableStack(Protocol):
        """What unwinding asks of a stack; see `HandlerStack`."""

        failures: FailureList
        unwinders: set[int]

        @property
        def entries(self) -> Sequence[Entry | None]: ...
        def notice_fork(self) -> None: ...
        def waiting(self) -> bool: ...
        def claim(self, claimed: list[Entry | None], below: int | None = None) -> int: ...
        def put_back(self, entry: Entry) -> None: ...
        def show(
            self,
            exception: BaseException,
            func: object,
            traceback: TracebackType | None,
            show: Show,
        ) -> None: ...


# So many newcomers in a row, without one that was there before, have no end.
_ENDLESS = 100_000
# So many exceptions between handlers are no chance: nothing works any more.
_HOPELESS = 100


class StackUnwinding:
    """One run through a stack, from the top to the bottom."""

    def __init__(
        self, stack: UnwindableStack, deadline: Deadline, show: Show, nested: bool = False
    ) -> None:
        """One that is `nested` in another leaves the showing to that."""
        self._stack = stack
        self._deadline = deadline
        self._how = show
        self._nested = nested
        self._outcomes: list[Outcome] = []
        self._floor = len(stack.entries)  # what lies at or above it came later
        self._newcomers = 0
        self._closed = False  # newcomers are not let in any more
        self._interruptions = 0

    def run(self) -> list[Outcome]:
        """Run every handler, then show what failed; nothing of it comes out of here."""
        try:
            self._run_rest()
        except BaseException as error:
            # Between two handlers: Ctrl-C, or what a signal handler of the
            # program raised.  Shown like one in a handler, and the rest still runs.
            self._show(error, self.run)
            self._interruptions += 1
            if self._interruptions > _HOPELESS:
                self._stack.failures.show()
                raise
            return self.run()
        return self._outcomes

    def _run_rest(self) -> None:
        # On its own, because the jump back of a loop lies outside of a `try` around it.
        # Handlers that are registered while failures are shown run too.
        while self._run_last() or self._show_failures():
            pass

    def _show_failures(self) -> bool:
        return not self._nested and self._stack.failures.show()

    def _show(self, exception: BaseException, func: object) -> None:
        self._stack.show(exception, func, exception.__traceback__, self._how)

    def _run_last(self) -> bool:
        """Claim the topmost handler and run it; False when there is none."""
        stack = self._stack
        stack.notice_fork()
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
            handler = ExitHandler.of(entry)
            limit = self._deadline.share(stack.waiting(), handler.timeout)
            if limit is not None:
                failure = self._run_within(limit, claimed, handler.name)
            else:
                # Ctrl-C raises at calls and jumps only: not between these two lines.
                del claimed[0]
                func(*args, **kwargs)
        except BaseException as error:
            unstarted = _take(claimed)
            if unstarted is not None:
                stack.put_back(unstarted)
            if unstarted is not None or entry is None:
                raise
            failure = error
        self._note(entry, monotonic() - started, failure)
        return True

    def _claim(self, claimed: list[Entry | None]) -> None:
        place = self._stack.claim(claimed, self._floor if self._closed else None)
        if place >= self._floor:
            self._newcomers += 1
        elif place >= 0:
            self._floor, self._newcomers = place, 0
        else:
            self._floor = 0  # none is left; what failures that are shown add, is new
        if self._newcomers > _ENDLESS and not self._closed:
            self._closed = True
            why = "exit handlers are registered without end; new ones are forgotten from now on"
            self._show(RuntimeError(why), self.run)

    def _run_within(
        self, limit: float, claimed: list[Entry | None], name: str
    ) -> HandlerTimeout | None:
        """Run what was claimed, with a time limit; its thread counts as the unwinding one."""
        from .runner import call_within  # seldom needed; loaded when a limit is set

        unwinders = self._stack.unwinders
        runner: list[int] = []

        def body() -> None:
            me = _thread.get_ident()
            if me not in unwinders:
                runner.append(me)
                unwinders.add(me)
            try:
                try:  # as in `_take`, without a call that would give Ctrl-C a moment
                    entry = claimed[0]
                    del claimed[0]
                except IndexError:  # Ctrl-C came first, and it was put back
                    return
                assert entry is not None
                entry[0](*entry[1], **entry[2])
            finally:
                unwinders.difference_update(runner)

        if call_within(body, limit):
            return None
        unwinders.difference_update(runner)
        return late(name, limit)

    def _note(self, entry: Entry, seconds: float, failure: BaseException | None) -> None:
        name = ExitHandler.of(entry).name
        self._outcomes.append(Outcome(name, seconds, Failure(failure) if failure else None))
        if failure is not None:
            self._show(failure, entry[0])


def _take(claimed: list[Entry | None]) -> Entry | None:
    """What was claimed, unless it has been taken: two threads never get it both."""
    try:
        entry = claimed[0]
        del claimed[0]  # of two threads without a GIL, only one can
    except IndexError:
        return None
    return entry


def overrun(name: str, seconds: float) -> Outcome:
    """The outcome of something that did not finish in its time."""
    return Outcome(name, seconds, Failure(late(name, seconds)))


def late(name: str, seconds: float) -> HandlerTimeout:
    """What is raised for one that did not finish in its time."""
    return HandlerTimeout(
        f"exit handler {name} did not finish within {seconds:g} s and was abandoned: it may "
        "still be running; give it more time with handler(timeout=...) or do less in it",
        handler=name,
        seconds=seconds,
    )
