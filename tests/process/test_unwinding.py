"""StackUnwinding: handlers run one after the other, whatever they do, in the time there is."""

from __future__ import annotations

import functools
import threading
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from lastout._exits import stack as stack_module
from lastout._exits import unwinding
from lastout._exits.runner import call_within
from lastout.deadline import Deadline
from lastout.errors import HandlerTimeout
from support import eventually
from support.stacks import WAIT, Watched, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from lastout._exits.exit_handler import Entry
    from lastout.report import Outcome


def test_a_handler_pushed_by_a_handler_runs(stack: Watched) -> None:
    """What is pushed while handlers run is run too, before those that lay below."""
    stack.add("below")
    stack.do(lambda: stack.add("pushed"))
    stack.run()
    assert stack.log == ["pushed", "below"]


def test_a_handler_removes_another(stack: Watched) -> None:
    """A handler that another one removes does not run."""
    gone = functools.partial(stack.log.append, "gone")
    stack.do(gone)
    stack.do(lambda: stack.remove(gone))
    stack.run()
    assert stack.log == []


def test_a_handler_removes_itself(stack: Watched) -> None:
    """A handler may remove itself while it runs; its other occurrences do not run."""

    def once() -> None:
        stack.log.append("once")
        stack.remove(once)

    stack.do(once)
    stack.do(once)
    stack.run()
    assert stack.log == ["once"]


def test_a_handler_clears(stack: Watched) -> None:
    """After a handler forgot all, nothing else runs."""
    stack.add("below")
    stack.do(stack.clear)
    assert len(stack.run()) == 1
    assert stack.log == []


def test_a_handler_unwinds(stack: Watched) -> None:
    """A handler that unwinds runs the rest at once, and each is reported where it ran."""
    nested: list[Outcome] = []
    stack.add("below")
    stack.do(lambda: nested.extend(stack.run()))
    outer = stack.run()
    assert stack.log == ["below"]
    assert (len(outer), len(nested)) == (1, 1)


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()]
)
def test_one_that_fails_does_not_stop_the_rest(stack: Watched, error: BaseException) -> None:
    """Whatever a handler raises is shown with that handler and reported; the others run."""

    def fails() -> None:
        raise error

    stack.add("below")
    stack.do(fails)
    stack.add("above")
    outcomes = stack.run()
    assert stack.log == ["above", "below"]
    assert stack.shown == [(error, fails)]
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert outcomes[1].failure is not None
    assert outcomes[1].failure.exception is error


def test_one_that_recurses_for_ever(stack: Watched) -> None:
    """A handler that runs out of stack is one that fails."""

    def recurse() -> None:
        recurse()

    stack.add("below")
    stack.do(recurse)
    outcomes = stack.run()
    assert stack.log == ["below"]
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]


def test_wrong_arguments_are_a_failure(stack: Watched) -> None:
    """A handler that does not take its arguments is one that fails."""
    stack.push((lambda: None, (1,), {}))
    (outcome,) = stack.run()
    assert outcome.failure is not None
    assert isinstance(outcome.failure.exception, TypeError)


def test_newcomers_without_end(stack: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many newcomers in a row the next ones are forgotten, which is shown once."""
    monkeypatch.setattr(unwinding, "_ENDLESS", 5)

    def again() -> None:
        stack.log.append("again")
        stack.do(again)
        stack.do(again)

    stack.add("oldest")
    stack.do(again)
    stack.add("old")
    stack.do(again)
    stack.run()
    assert stack.log == ["again"] * 7 + ["old", "again", "oldest"]
    [(error, _)] = stack.shown
    assert isinstance(error, RuntimeError)
    assert len(stack) == 0


def test_newcomers_with_an_end(stack: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many newcomers as may be are run; one that was there before begins the count anew."""
    monkeypatch.setattr(unwinding, "_ENDLESS", 5)
    for _ in range(3):
        stack.do(lambda: stack.add(*"12345"))
    stack.run()
    assert stack.log == [*"54321"] * 3
    assert stack.shown == []


def test_where_nothing_works_any_more(stack: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong between handlers is shown and got over a hundred times, then raised."""

    def broken(*_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(stack, "claim", broken)
    with pytest.raises(MemoryError):
        stack.run()
    assert len(stack.shown) == 101


# --- time


def test_it_is_said_how_long_each_took(stack: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of an outcome are those of its own handler."""
    now = [7.0]

    def slow() -> None:
        now[0] += 1.5

    monkeypatch.setattr(unwinding, "monotonic", lambda: now[0])
    stack.do(slow)
    stack.do(slow, timeout=WAIT)
    assert [outcome.seconds for outcome in stack.run()] == [1.5, 1.5]


def test_an_own_limit(stack: Watched, stuck: threading.Event) -> None:
    """A handler that overruns its limit is abandoned and named; the next one runs."""

    def hangs() -> None:
        stuck.wait(WAIT)

    stack.add("below")
    stack.do(hangs, timeout=0.1)
    started = monotonic()
    late, below = stack.run()
    assert monotonic() - started < WAIT / 2
    assert (late.status, below.status) == ("timed out", "done")
    assert late.failure is not None
    error = late.failure.exception
    assert isinstance(error, HandlerTimeout)
    assert error.handler == late.name
    assert "hangs" in str(error)
    assert error.seconds == pytest.approx(0.1)
    assert late.seconds >= 0.1
    assert stack.shown == [(error, hangs)]


def test_time_for_all(stack: Watched, stuck: threading.Event) -> None:
    """However many hang, all are tried within the time that is given for all of them."""
    for _ in range(3):
        stack.do(lambda: stuck.wait(WAIT))
    stack.add("last of all")
    for _ in range(3):
        stack.do(lambda: stuck.wait(WAIT))
    started = monotonic()
    outcomes = stack.run(seconds=4.0)
    assert monotonic() - started < WAIT / 2
    assert stack.log == ["last of all"]
    assert [outcome.status for outcome in outcomes].count("timed out") == 6


def test_no_limit_no_thread(stack: Watched) -> None:
    """Where nothing limits its time a handler runs on the thread that unwinds."""
    stack.do(lambda: stack.log.append(threading.get_ident()))
    stack.run()
    assert stack.log == [threading.get_ident()]


def test_one_with_a_limit_may_do_everything(stack: Watched) -> None:
    """A handler with a limit may push, remove, and unwind as any other one."""

    def busy() -> None:
        stack.add("pushed")
        stack.remove(gone)
        stack.run()

    gone = functools.partial(stack.log.append, "gone")
    stack.add("below")
    stack.do(gone)
    stack.do(busy, timeout=WAIT)
    assert [outcome.status for outcome in stack.run()] == ["done"]
    assert stack.log == ["pushed", "below"]


def test_one_that_fails_in_time(stack: Watched) -> None:
    """What a handler with a limit raises is reported as that of any other one."""

    def fails() -> None:
        raise SystemExit(3)

    stack.do(fails, timeout=WAIT)
    (outcome,) = stack.run()
    assert outcome.status == "failed"
    assert isinstance(stack.shown[0][0], SystemExit)


# --- threads


def test_one_thread_unwinds_at_a_time(stack: Watched, stuck: threading.Event) -> None:
    """A second thread that unwinds waits until the first one is through."""
    running = threading.Event()

    def slow() -> None:
        running.set()
        stuck.wait(WAIT)
        stack.log.append("slow")

    stack.add("below")
    stack.do(slow)
    first = in_thread(stack.run)
    assert running.wait(WAIT)
    second = in_thread(lambda: stack.log.append(("second", len(stack.run()))))
    stack.add("pushed meanwhile")
    stuck.set()
    first.join(WAIT)
    second.join(WAIT)
    assert stack.log == ["slow", "pushed meanwhile", "below", ("second", 0)]


def test_waiting_for_another_thread_has_an_end(
    stack: Watched, stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a thread that hangs, one waits no longer than one's own deadline, and says so."""
    running = threading.Event()

    def hangs() -> None:
        running.set()
        stuck.wait(WAIT)

    assert stack.run() == [], "to have unwound before gives no precedence"
    stack.do(hangs)
    first = in_thread(stack.run)
    assert running.wait(WAIT)
    monkeypatch.setattr(stack_module, "monotonic", iter((7.0, 8.5)).__next__)
    (outcome,) = stack.run(seconds=0.05)
    assert outcome.status == "timed out"
    assert outcome.seconds == 1.5
    stuck.set()
    first.join(WAIT)


def test_a_thread_started_by_a_handler(stack: Watched) -> None:
    """A handler may start a thread that pushes, and wait for it; the push is run."""
    stack.do(lambda: in_thread(lambda: stack.add("from thread")).join(WAIT))
    stack.run()
    assert stack.log == ["from thread"]


def test_many_threads_at_once(stack: Watched) -> None:
    """All push, remove and unwind at once: each handler runs once, or was removed."""
    start, threads, each = threading.Barrier(4), 4, 300
    removed: list[tuple[int, int]] = []

    def busy(me: int) -> None:
        start.wait(WAIT)
        for number in range(each):
            handler = functools.partial(stack.log.append, (me, number))
            stack.do(handler)
            if number % 3 == 0:
                stack.remove(handler)
                removed.append((me, number))
            if number % 50 == 49:
                stack.run()

    for thread in [in_thread(functools.partial(busy, me)) for me in range(threads)]:
        thread.join(WAIT)
    stack.run()
    assert len(stack.log) == len(set(stack.log)), "none ran twice"
    everything = {(me, number) for me in range(threads) for number in range(each)}
    assert everything - set(removed) <= set(stack.log), "none was lost"
    assert eventually(lambda: len(stack) == 0, 1)


class Interrupted(Watched):
    """A stack in which Ctrl-C comes so many times just before a handler is claimed."""

    times = 0

    def claim(self, claimed: list[Entry | None], below: int | None = None) -> int:
        if self.times:
            self.times -= 1
            raise KeyboardInterrupt
        return super().claim(claimed, below)


def test_ctrl_c_between_two_handlers() -> None:
    """Ctrl-C between two handlers is shown, and all of them run."""
    stack = Interrupted()
    stack.add("first", "second")
    stack.times = 2
    stack.run()
    assert stack.log == ["second", "first"]
    assert [type(error) for error, _ in stack.shown] == [KeyboardInterrupt] * 2


def test_ctrl_c_without_end() -> None:
    """Where nothing works any more it comes out, instead of being tried for ever."""
    stack = Interrupted()
    stack.add("never")
    stack.times = 1_000
    with pytest.raises(KeyboardInterrupt):
        stack.run()
    assert stack.log == []
    assert stack.times > 0


class Impatient(Deadline):
    """A deadline that Ctrl-C interrupts, the first time that it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def share(self, others_wait: bool, limit: float | None) -> float | None:
        if not self.asked:
            self.asked = True
            raise KeyboardInterrupt
        return super().share(others_wait, limit)


def test_ctrl_c_just_before_a_handler_starts(stack: Watched) -> None:
    """A handler that was taken from the stack, and not started, is put back and runs once."""
    stack.add("below", "top")
    shown: list[BaseException] = []
    stack.unwind(Impatient(), lambda error, *_: shown.append(error))
    assert stack.log == ["top", "below"]
    assert [type(error) for error in shown] == [KeyboardInterrupt]


def test_ctrl_c_before_a_limited_one_starts(
    stack: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with a time limit whose thread had not begun yet runs once, and not on that thread."""
    begun: list[Callable[[], object]] = []

    def interrupted(body: Callable[[], object], seconds: float) -> bool:
        if not begun:
            begun.append(body)
            raise KeyboardInterrupt
        return call_within(body, seconds)

    monkeypatch.setattr("lastout._exits.runner.call_within", interrupted)
    stack.do(lambda: stack.log.append("once"), timeout=60.0)
    stack.run()
    begun[0]()
    assert stack.log == ["once"]


def test_a_limit_without_a_thread(stack: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be had one with a limit runs here, and may unwind as any other."""
    monkeypatch.setattr("lastout._exits.runner._start", lambda call: False)
    stack.add("below")
    stack.do(stack.run, timeout=60.0)
    stack.add("top")
    stack.run()
    assert stack.log == ["top", "below"]
