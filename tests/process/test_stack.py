"""Stack: handlers are pushed, removed and unwound, by any thread and from within handlers."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
from support import eventually
from support.callables import Refusal, Refuses, SameSize

from lastout._process.deadline import Deadline
from lastout._process.handler import Handler
from lastout._process.report import Outcome
from lastout._process.stack import Stack
from lastout.errors import HandlerTimeout

WAIT = 30  # seconds that no test should ever need


class Watched(Stack):
    """A stack with a log; what its handlers raise is kept in `shown`."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[object] = []
        self.shown: list[tuple[BaseException, object]] = []

    def add(self, *tokens: object) -> None:
        for token in tokens:
            self.push((self.log.append, (token,), {}))

    def do(self, func: Callable[[], object], timeout: float | None = None) -> None:
        self.push(Handler(func, timeout=timeout))

    def run(self, seconds: float | None = None) -> list[Outcome]:
        return self.unwind(Deadline(seconds), lambda *shown: self.shown.append(shown))


@pytest.fixture
def stack() -> Watched:
    return Watched()


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What a handler that hangs waits for; the test's end sets it free."""
    event = threading.Event()
    yield event
    event.set()


def in_thread(func: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=func)
    thread.start()
    return thread


def test_last_in_first_out(stack: Watched) -> None:
    """Handlers run in reverse order, with their arguments."""
    stack.push((lambda *args, **kwargs: stack.log.append((args, kwargs)), (1, 2), {"a": 3}))
    stack.add("second")
    stack.run()
    assert stack.log == ["second", ((1, 2), {"a": 3})]


def test_at_most_once(stack: Watched) -> None:
    """A second unwinding finds nothing."""
    stack.add("once")
    assert len(stack.run()) == 1
    assert stack.run() == []
    assert stack.log == ["once"]


def test_the_same_callable_twice_runs_twice(stack: Watched) -> None:
    """Each push is one run, also of an equal callable with equal arguments."""
    stack.add("x", "x")
    stack.run()
    assert stack.log == ["x", "x"]


def test_length_counts_handlers(stack: Watched) -> None:
    """The length is that of the handlers left, whatever was removed between them."""
    stack.add("a")
    stack.do(print)
    stack.add("b")
    assert len(stack) == 3
    stack.remove(print)
    assert len(stack) == 2
    stack.clear()
    assert len(stack) == 0


@pytest.mark.parametrize("place", ["bottom", "middle", "top", "every"])
def test_remove(stack: Watched, place: str) -> None:
    """A callable is removed wherever it lies, and everything else stays in order."""
    gone: Callable[[], object] = functools.partial(stack.log.append, "gone")
    for here in ("bottom", "middle", "top"):
        if place in (here, "every"):
            stack.do(gone)
        if here != "top":
            stack.add(f"above {here}")
    stack.remove(gone)
    stack.run()
    assert stack.log == ["above middle", "above bottom"]


def test_remove_what_is_not_there(stack: Watched) -> None:
    """Removing an unknown callable, or anything else, is silent."""
    stack.add("a")
    stack.remove(print)
    stack.remove(None)
    stack.remove([])
    assert len(stack) == 1


def test_remove_by_an_equal(stack: Watched) -> None:
    """An unhashable callable is removed by another object that equals it."""
    stack.do(functools.partial(SameSize(stack.log), "plain"))
    stack.push((SameSize(stack.log), ("odd",), {}))
    stack.remove(SameSize([]))
    stack.run()
    assert stack.log == ["plain"]


def test_a_comparison_that_raises_comes_out_of_remove(stack: Watched) -> None:
    """What `__eq__` raises reaches the caller, and no handler is lost by it."""
    stack.add("a")
    stack.push((Refuses(stack.log), ("odd",), {}))
    stack.add("b")
    with pytest.raises(Refusal):
        stack.remove(print)
    assert len(stack) == 3
    stack.run()
    assert stack.log == ["b", "odd", "a"]


@pytest.mark.parametrize("act", ["push", "remove", "clear", "run"])
def test_a_comparison_that_comes_back(stack: Watched, act: str) -> None:
    """An `__eq__` may itself push, remove, clear or unwind: nothing runs twice, nothing breaks."""

    class ComesBack(SameSize):
        def __eq__(self, other: object) -> bool:
            if other is target:
                acts[act]()
            return False

        __hash__ = None  # type: ignore[assignment]

    def target() -> None:
        stack.log.append("target")

    acts: dict[str, Callable[[], object]] = {
        "push": lambda: stack.add("pushed"),
        "remove": lambda: stack.remove(bottom),
        "clear": stack.clear,
        "run": stack.run,
    }
    bottom = functools.partial(stack.log.append, "bottom")
    stack.do(bottom)
    stack.do(target)
    stack.push((ComesBack(stack.log), ("odd",), {}))
    stack.add("top")
    stack.remove(target)
    stack.run()
    assert stack.log == {
        "push": ["pushed", "top", "odd", "bottom"],
        "remove": ["top", "odd"],
        "clear": [],
        "run": ["top", "odd", "bottom"],
    }[act]


def test_a_removed_handler_is_let_go(stack: Watched) -> None:
    """What a handler holds on to is free once it was removed, and once it has run."""

    class Resource:
        def close(self) -> None: ...

    removed, ran, cleared = Resource(), Resource(), Resource()
    alive = weakref.WeakSet([removed, ran, cleared])
    stack.add("below")
    stack.do(removed.close)
    stack.add("above")
    stack.remove(removed.close)
    del removed
    gc.collect()
    assert len(alive) == 2
    stack.do(ran.close)
    stack.run()
    stack.do(cleared.close)
    stack.clear()
    del ran, cleared
    gc.collect()
    assert not alive


def test_register_and_unregister_for_ever(stack: Watched) -> None:
    """A program that registers and unregisters all its life does not grow."""
    stack.add("bottom")
    kept = functools.partial(print)
    for number in range(5000):
        stack.do(functools.partial(print, number))
        stack.do(kept)
        stack.remove(stack.entries[-2][0] if stack.entries[-2] else None)
        stack.remove(kept)
    assert len(stack) == 1
    assert len(stack.entries) < 100


def test_gaps_are_closed_in_order(stack: Watched) -> None:
    """After most of many handlers were removed the rest still runs in order."""
    handlers = [functools.partial(stack.log.append, number) for number in range(1000)]
    for handler in handlers:
        stack.do(handler)
    for number, handler in enumerate(handlers):
        if number % 100:
            stack.remove(handler)
    stack.add("top")
    assert len(stack.entries) < 500
    stack.run()
    assert stack.log == ["top", *range(900, -1, -100)]


# --- from within handlers


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


# --- time


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
    for _ in range(5):
        stack.do(lambda: stuck.wait(WAIT))
    stack.add("last of all")
    for _ in range(5):
        stack.do(lambda: stuck.wait(WAIT))
    started = monotonic()
    outcomes = stack.run(seconds=0.5)
    assert monotonic() - started < WAIT / 2
    assert stack.log == ["last of all"]
    assert [outcome.status for outcome in outcomes].count("timed out") == 10


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


def test_waiting_for_another_thread_has_an_end(stack: Watched, stuck: threading.Event) -> None:
    """Behind a thread that hangs, one waits no longer than one's own deadline, and says so."""
    running = threading.Event()

    def hangs() -> None:
        running.set()
        stuck.wait(WAIT)

    stack.do(hangs)
    first = in_thread(stack.run)
    assert running.wait(WAIT)
    (outcome,) = stack.run(seconds=0.05)
    assert outcome.status == "timed out"
    stuck.set()
    first.join(WAIT)


def test_a_thread_started_by_a_handler(stack: Watched) -> None:
    """A handler may start a thread that pushes, and wait for it; the push is run."""
    stack.do(lambda: in_thread(lambda: stack.add("from thread")).join(WAIT))
    stack.run()
    assert stack.log == ["from thread"]


def test_many_threads_at_once(stack: Watched) -> None:
    """With all of them pushing, removing and unwinding at once each handler runs once or was removed."""
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


# --- forks


def test_a_fork_keeps_inheritable_handlers_only(stack: Watched) -> None:
    """After a fork the child's stack holds what is inheritable, in its order, and no more."""
    stack.add("parent's")
    stack.push(Handler(stack.log.append, ("inherited 1",), inherit=True))
    stack.push(Handler(stack.log.append, ("not inherited",)))
    stack.push(Handler(stack.log.append, ("inherited 2",), inherit=True))
    assert [handler.args for handler in stack.inheritable()] == [("inherited 1",), ("inherited 2",)]
    stack.forget_parent()
    stack.run()
    assert stack.log == ["inherited 2", "inherited 1"]


def test_a_fork_does_not_drop_what_the_parent_holds(stack: Watched) -> None:
    """What the parent's handlers hold is kept alive, lest its finalizer clean up for the parent."""

    class Directory:
        def remove(self) -> None: ...

    directory = Directory()
    gone = weakref.ref(directory)
    stack.do(directory.remove)
    del directory
    stack.forget_parent()
    gc.collect()
    assert len(stack) == 0
    assert gone() is not None


def test_a_fork_while_another_thread_unwinds(stack: Watched, stuck: threading.Event) -> None:
    """The child's stack is free to use though the parent's was locked by a thread it lacks."""
    running = threading.Event()

    def hangs() -> None:
        running.set()
        stuck.wait(WAIT)

    stack.do(hangs)
    first = in_thread(stack.run)
    assert running.wait(WAIT)
    stack.forget_parent()  # what the hook in the child does
    stack.add("child's")
    assert [outcome.status for outcome in stack.run(seconds=5)] == ["done"]
    assert stack.log == ["child's"]
    stuck.set()
    first.join(WAIT)
