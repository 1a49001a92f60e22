"""StackUnwinding: run the handlers of a stack one after the other, whatever they raise.

Handlers that are pushed while handlers run are run too, and first, because a new
handler may rely on things that older handlers will remove.  Only if a thread or a
handler registers new handlers without end are they forgotten, so that the older
handlers get their turn.

Tested by: tests/process/test_unwinding.py, tests/process/test_stack.py,
    tests/process/test_showing.py
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


# So many new handlers in a row, without an older handler, are taken to have no end.
_ENDLESS = 100_000
# So many exceptions between handlers are no chance, but mean that nothing works any more.
_HOPELESS = 100


class StackUnwinding:
    """One run through a stack, from the top to the bottom."""

    def __init__(
        self, stack: UnwindableStack, deadline: Deadline, show: Show, nested: bool = False
    ) -> None:
        """Prepare a run; a run `nested` in another leaves it to that to show failures."""
        self._stack = stack
        self._deadline = deadline
        self._how = show
        self._nested = nested
        self._outcomes: list[Outcome] = []
        self._floor = len(stack.entries)  # entries at or above this place were pushed later
        self._newcomers = 0
        self._closed = False  # whether new handlers are forgotten
        self._interruptions = 0

    def run(self) -> list[Outcome]:
        """Run every handler, then show the failures; none of them is raised."""
        try:
            self._run_rest()
        except BaseException as error:
            # Ctrl-C, or a signal handler of the program, raised between two handlers.  It is
            # shown like a handler's failure, because the remaining handlers still have to run.
            self._show(error, self.run)
            self._interruptions += 1
            if self._interruptions > _HOPELESS:
                self._stack.failures.show()
                raise
            return self.run()
        return self._outcomes

    def _run_rest(self) -> None:
        # A method of its own, because the jump back of a loop, where Ctrl-C may come, lies
        # outside of a `try` around the loop.
        # Failures are shown inside of the loop, because a hook may register further handlers.
        while self._run_last() or self._show_failures():
            pass

    def _show_failures(self) -> bool:
        return not self._nested and self._stack.failures.show()

    def _show(self, exception: BaseException, func: object) -> None:
        self._stack.show(exception, func, exception.__traceback__, self._how)

    def _run_last(self) -> bool:
        """Claim the topmost handler and run it; `False` if the stack is empty."""
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
                # CPython raises Ctrl-C at calls and jumps only, so not between these two lines:
                # an entry that is out of `claimed` has been started.
                del claimed[0]
                func(*args, **kwargs)
        except BaseException as error:
            unstarted = _take(claimed)
            # Ctrl-C came before the call: the handler has not run, so it must run later.
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
            self._floor = 0  # the stack is empty, so handlers pushed while showing are new
        if self._newcomers > _ENDLESS and not self._closed:
            self._closed = True
            why = "exit handlers are registered without end; new ones are forgotten from now on"
            self._show(RuntimeError(why), self.run)

    def _run_within(
        self, limit: float, claimed: list[Entry | None], name: str
    ) -> HandlerTimeout | None:
        """Run the claimed entry with a time limit, on a thread that counts as unwinding."""
        from .runner import call_within  # seldom needed; loaded when a limit is set

        unwinders = self._stack.unwinders
        runner: list[int] = []

        def body() -> None:
            me = _thread.get_ident()
            # So that a handler that calls `unwind` here does not wait for its own run.
            if me not in unwinders:
                runner.append(me)
                unwinders.add(me)
            try:
                try:  # as in `_take`, but inline, because Ctrl-C may come at a call
                    entry = claimed[0]
                    del claimed[0]
                except IndexError:  # Ctrl-C came first, and the entry was put back
                    return
                assert entry is not None
                entry[0](*entry[1], **entry[2])
            finally:
                unwinders.difference_update(runner)

        if call_within(body, limit):
            return None
        # The abandoned handler goes on, but must wait for the run like any other thread.
        unwinders.difference_update(runner)
        return late(name, limit)

    def _note(self, entry: Entry, seconds: float, failure: BaseException | None) -> None:
        name = ExitHandler.of(entry).name
        self._outcomes.append(Outcome(name, seconds, Failure(failure) if failure else None))
        if failure is not None:
            self._show(failure, entry[0])


def _take(claimed: list[Entry | None]) -> Entry | None:
    """Take the claimed entry; only one of two threads gets it, the other `None`."""
    try:
        entry = claimed[0]
        del claimed[0]  # raises for the second of two threads, even without a GIL
    except IndexError:
        return None
    return entry


def overrun(name: str, seconds: float) -> Outcome:
    """The outcome of a handler, or of a wait, that did not finish in its time."""
    return Outcome(name, seconds, Failure(late(name, seconds)))


def late(name: str, seconds: float) -> HandlerTimeout:
    """The error for a handler that did not finish in its time."""
    return HandlerTimeout(
        f"exit handler {name} did not finish within {seconds:g} s and was abandoned: it may "
        "still be running; give it more time with handler(timeout=...) or do less in it",
        handler=name,
        seconds=seconds,
    )
