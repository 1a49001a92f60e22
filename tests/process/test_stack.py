"""Stack: handlers are pushed, removed and unwound, by any thread and from within handlers."""

from __future__ import annotations

import functools
import gc
import os
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from lastout._exits import stack as stack_module
from lastout._exits.callable_index import CallableIndex
from lastout._exits.exit_handler import ExitHandler
from lastout._exits.stack import _lock_timeout
from lastout.deadline import Deadline
from support.callables import Refusal, Refuses, SameSize
from support.stacks import WAIT, Watched, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable


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
def test_a_callable_is_removed_wherever_it_lies(stack: Watched, place: str) -> None:
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
    expected = {
        "push": ["pushed", "top", "odd", "bottom"],
        "remove": ["top", "odd"],
        "clear": [],
        "run": ["top", "odd", "bottom"],
    }
    assert stack.log == expected[act]


@pytest.mark.parametrize("act", ["remove", "clear"])
def test_a_comparison_that_removes_what_it_compares(stack: Watched, act: str) -> None:
    """An `__eq__` may remove its own handler, or all, and then say that it is equal."""

    class RemovesItself(SameSize):
        def __eq__(self, other: object) -> bool:
            if other is print and not stack.log:
                stack.log.append("compared")
                stack.remove(self) if act == "remove" else stack.clear()
            return other is print

        __hash__ = None  # type: ignore[assignment]

    stack.add("below")
    stack.push((RemovesItself(stack.log), ("odd",), {}))
    stack.add("top")
    stack.remove(print)
    stack.run()
    assert stack.log == (["compared", "top", "below"] if act == "remove" else ["compared"])


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


def test_one_that_ran_after_a_removal_is_let_go(stack: Watched) -> None:
    """What a handler holds on to is free once it has run, also where others were removed before."""

    class Resource:
        def close(self) -> None: ...

    resources = [Resource() for _ in range(3)]
    alive = weakref.WeakSet(resources)
    for resource in resources:
        stack.do(resource.close)
    del resource
    stack.remove(print)
    stack.run()
    resources.clear()
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


class Pushing(list):
    """Entries that another thread adds to just when a hole at the end has been looked at."""

    def __init__(self, entries: list, newcomer: object) -> None:
        super().__init__(entries)
        self.newcomers = [newcomer]

    def __getitem__(self, place):
        found = super().__getitem__(place)
        if found is None and self.newcomers:
            self.append(self.newcomers.pop())
        return found


def test_a_push_while_holes_are_cut_off(stack: Watched) -> None:
    """What is pushed between the look at the last hole and its removal stays, without a GIL too."""
    stack.add("bottom")
    stack.do(len)
    stack.add("newcomer")
    stack.entries = Pushing(stack.entries[:2], stack.entries[2])
    stack.remove(len)
    assert not stack.entries.newcomers
    stack.run()
    assert stack.log == ["newcomer", "bottom"]


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


def test_whether_one_is_waiting(stack: Watched) -> None:
    """One waits until it was removed or has run, whatever was removed below or above it."""
    assert not stack.waiting()
    stack.do(print)
    stack.add("waits")
    stack.do(repr)
    stack.remove(print), stack.remove(repr)
    assert stack.waiting()
    stack.run()
    assert not stack.waiting()
    stack.add("waits")
    assert stack.waiting()
    stack.clear()
    assert not stack.waiting()


class Holed(list):  # type: ignore[type-arg]
    """Entries that other threads make holes in just when their number has been looked at."""

    def __len__(self) -> int:
        number = super().__len__()
        self.extend([None, None])
        return number


def test_how_many_there_are_beside_other_threads(stack: Watched) -> None:
    """Holes that come while handlers are counted are not counted."""
    stack.add("one")
    stack.entries = Holed(stack.entries)
    assert len(stack) == 1


def test_how_many_have_a_time_limit(stack: Watched) -> None:
    """Those with a time limit are counted, and no others."""
    stack.add("plain")
    stack.do(print)
    for timeout in (0.0, 5.0):
        stack.do(print, timeout=timeout)
    assert stack.timed() == 2


def test_how_long_another_thread_is_waited_for() -> None:
    """Without a deadline for ever; with one until then, as far as a lock can wait."""
    assert _lock_timeout(Deadline()) == -1
    assert 0 < _lock_timeout(Deadline(WAIT)) <= WAIT
    assert _lock_timeout(Deadline(1e12)) == threading.TIMEOUT_MAX


class Emptied(list):  # type: ignore[type-arg]
    """Entries of which a signal handler takes the topmost one just before it is looked at."""

    taken = False

    def __getitem__(self, place: object) -> object:
        if place == len(self) - 1 and not self.taken:
            self.taken = True
            self.pop()
        return super().__getitem__(place)  # type: ignore[index]


def test_one_taken_just_before_it_is_claimed(stack: Watched) -> None:
    """Where a signal handler unwound the topmost one, the next one below is run."""
    stack.entries = Emptied()
    stack.add("below", "taken")
    stack.run()
    assert stack.log == ["below"]
    assert stack.shown == []


class Meddled(list):  # type: ignore[type-arg]
    """Entries to which another thread pushes one just after a place was deleted."""

    pushed: list[object]

    def __delitem__(self, place: object) -> None:
        super().__delitem__(place)  # type: ignore[arg-type]
        self.extend(self.pushed)
        self.pushed = []


def test_one_pushed_while_a_hole_is_cut_off(stack: Watched) -> None:
    """What another thread pushes where a hole was just cut off can be removed as any other."""
    gone, late = (functools.partial(stack.log.append, token) for token in ("gone", "late"))
    stack.entries = entries = Meddled()
    stack.add("below")
    stack.do(gone)
    entries.pushed = [(late, (), {})]
    stack.remove(gone)
    assert len(stack) == 2
    stack.remove(late)
    stack.run()
    assert stack.log == ["below"]


def test_a_few_gaps_stay(stack: Watched) -> None:
    """One gap among many handlers is left: to close it would touch all of them."""
    stack.add(*"abcd")
    stack.do(print)
    stack.add(*"efgh")
    stack.remove(print)
    assert (len(stack), len(stack.entries)) == (8, 9)


# --- forks


@pytest.mark.parametrize("step", [-1, 1])
def test_another_pid_is_another_process(
    stack: Watched, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A process with a greater or a smaller pid than the one that pushed is a child of it."""
    stack.add("parent's")
    pid = os.getpid() + step
    monkeypatch.setattr(stack_module, "getpid", lambda: pid)
    assert len(stack) == 0
    stack.add("child's")
    assert len(stack) == 1


def test_it_is_known_whether_there_is_something_to_inherit(stack: Watched) -> None:
    """A stack that never held an inheritable handler says so."""
    stack.push(ExitHandler(print))
    stack.add("plain")
    assert not stack.inheriting
    stack.push(ExitHandler(print, inherit=True))
    assert stack.inheriting


def test_a_fork_keeps_inheritable_handlers_only(stack: Watched) -> None:
    """After a fork the child's stack holds what is inheritable, in its order, and no more."""
    stack.add("parent's")
    stack.push(ExitHandler(stack.log.append, ("inherited 1",), inherit=True))
    stack.push(ExitHandler(stack.log.append, ("not inherited",)))
    stack.push(ExitHandler(stack.log.append, ("inherited 2",), inherit=True))
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


class Shifty(list[object]):
    """Entries of which, at one of the looks at the topmost one, something else becomes."""

    def __init__(self, entries: list[object], look: int, happens: Callable[[Shifty], None]) -> None:
        super().__init__(entries)
        self.looks = look
        self.happens = happens

    def __getitem__(self, place: object) -> object:
        if place == 1:
            self.looks -= 1
            if self.looks == 0:
                self.happens(self)
        return super().__getitem__(place)  # type: ignore[index]


@pytest.mark.parametrize("look", [1, 2], ids=["before it is claimed", "while it is claimed"])
@pytest.mark.parametrize(
    ("happens", "runs"),
    [(list[object].clear, []), (lambda entries: entries.__setitem__(1, None), ["below"])],
    ids=["unwound", "removed"],
)
def test_gone_while_it_is_claimed(
    stack: Watched, happens: Callable[[Shifty], None], runs: list[object], look: int
) -> None:
    """A handler that a signal handler takes in the moment in which it would run, is left out."""
    stack.add("below", "top")
    shifty = Shifty(list(stack.entries), look, happens)
    stack.entries = shifty  # type: ignore[assignment]
    stack.run()
    assert shifty.looks <= 0
    assert (stack.log, stack.shown) == (runs, [])


def test_something_waits_below_a_hole(stack: Watched) -> None:
    """Where the topmost handler is being removed, the one below it is waiting, if there is one."""
    stack.entries.append(None)
    assert not stack.waiting()
    stack.add("below")
    stack.entries.append(None)
    assert stack.waiting()
    stack.run()
    assert not stack.waiting()


def test_ctrl_c_while_another_thread_has_the_lock(stack: Watched) -> None:
    """What comes while a change waits for its turn comes out, and changes nothing."""

    class Taken:
        def acquire(self) -> None:
            raise KeyboardInterrupt

        def release(self) -> None:
            raise RuntimeError("cannot release un-acquired lock")

    stack.add("one")
    edit, stack._edit = stack._edit, Taken()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        stack.clear()
    stack._edit = edit
    stack.run()
    assert stack.log == ["one"]


def test_somebody_comes_back_while_holes_are_closed(stack: Watched) -> None:
    """Where a signal handler changes the stack while its holes are closed up, they stay."""

    class Revisited(list[object]):
        def __getitem__(self, place: object) -> object:
            if isinstance(place, slice):
                stack._index = CallableIndex()
            return super().__getitem__(place)  # type: ignore[index]

    handlers = [functools.partial(stack.log.append, number) for number in range(100)]
    for handler in handlers:
        stack.do(handler)
    stack.entries = Revisited(stack.entries)  # type: ignore[assignment]
    for handler in handlers[:90]:
        stack.remove(handler)
    assert len(stack.entries) == 100
    stack.run()
    assert stack.log == list(range(99, 89, -1))
