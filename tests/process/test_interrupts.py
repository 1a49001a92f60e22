"""A signal between any two instructions of the stack loses no handler and runs none twice.

Each scenario is run once for every instruction of lastout in it, with a real
SIGINT just before that instruction.  Its Python handler raises
KeyboardInterrupt, as Ctrl-C does, or comes back to the stack, as a program's
own signal handler may.  Afterwards the stack is unwound in peace, and then:

    each handler that was pushed and not removed  ran once
    each handler that was removed                 did not run later (but for the one that an
                                                  unwinding had just taken off to call it)
    each handler at all                           ran at most once
"""

from __future__ import annotations

import _thread
import threading
from collections import Counter
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

import lastout._exits
from lastout._exits.exit_handler import ExitHandler
from lastout._exits.stack import HandlerStack
from lastout.deadline import Deadline
from support import Program, interrupts
from support.callables import Refusal
from support.interrupts import run_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.unmeasured(reason="a trace function of their own, which crashes 3.12.1")

INTERRUPTS = Path(interrupts.__file__).read_text()
HERE = lastout._exits.__path__[0]


def watched(file: str) -> bool:
    """Whether a file is part of what must stand a signal anywhere."""
    return file.startswith(HERE)


class Witness:
    """A stack, and what was asked of it and what was seen, in C calls only.

    C calls, because a signal handler cannot run in the middle of one: a handler
    that was called has left its token, whatever comes right after.
    """

    def __init__(self) -> None:
        self.stack = HandlerStack()
        self.ran: list[str] = []
        self.pushing: list[str] = []
        self.pushed: list[str] = []
        self.removing: list[str] = []
        self.removed: dict[str, int] = {}  # how often it had run by then
        self.unwinding = 0
        self.claimed = 0  # how many may have been on their way to be called when removed
        self.funcs: dict[str, Callable[..., object]] = {}
        self.shown: list[BaseException] = []

    def push(self, name: str, timeout: float | None = None, odd: bool = False) -> None:
        # Each its own callable, equal to no other one.
        self.funcs[name] = func = (Odd if odd else partial)(self.ran.append)
        self.pushing.append(name)
        entry = (func, (name,), {})
        self.stack.push(entry if timeout is None else ExitHandler(func, (name,), {}, timeout))
        self.pushed.append(name)

    def remove(self, name: str) -> None:
        self.removing.append(name)
        self.stack.remove(self.funcs[name])
        self.claimed = max(self.claimed, self.unwinding)
        self.removed[name] = self.ran.count(name)

    def clear(self) -> None:
        before = list(self.pushed)
        self.removing.extend(self.pushing)
        self.stack.clear()
        self.claimed = max(self.claimed, self.unwinding)
        self.removing.extend(self.pushing)  # what a signal pushed meanwhile may be gone or not
        self.removed.update((name, self.ran.count(name)) for name in before)

    def unwind(self, seconds: float | None = None) -> None:
        self.unwinding += 1
        try:
            self.stack.unwind(Deadline(seconds), lambda error, *_: self.shown.append(error))
        finally:
            self.unwinding -= 1

    def check(self) -> None:
        """Unwind what is left, then hold what was asked for against what was seen."""
        self.unwind()
        ran = Counter(self.ran)
        assert not [name for name, times in ran.items() if times > 1], f"ran twice: {self.ran}"
        owed = set(self.pushed) - set(self.removing)
        assert owed <= set(ran), f"lost: {sorted(owed - set(ran))}"
        late = [name for name, times in self.removed.items() if ran[name] != times]
        assert len(late) <= self.claimed, f"ran although removed: {late}"
        assert len(self.stack) == 0
        # The stack is as good as new: nothing was left locked or half done.
        self.push("after"), self.push("gone", odd=True), self.remove("gone")
        other = threading.Thread(target=self.unwind, daemon=True)
        other.start()
        other.join(10)
        assert not other.is_alive(), "no other thread can unwind it any more"
        assert self.ran.count("after") == 1
        assert self.ran.count("gone") == 0


class Odd(partial):  # type: ignore[type-arg]
    """A callable that only `==` can find: without a hash, and with an `__eq__` in Python."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]


def some(witness: Witness) -> None:
    """A stack of ordinary handlers and odd ones."""
    witness.push("odd first", odd=True), witness.push("first"), witness.push("odd second", odd=True)


def register(witness: Witness) -> None:
    """Push one, and another one."""
    witness.push("one"), witness.push("two", odd=True)


def unregister(witness: Witness) -> None:
    """Remove one by its hash."""
    witness.remove("first")


def unregister_odd(witness: Witness) -> None:
    """Remove one by comparing each."""
    witness.remove("odd first")


def unregister_last(witness: Witness) -> None:
    """Remove from the end, twice, with a push between."""
    witness.remove("odd second"), witness.push("one"), witness.remove("one")


def unregister_most(witness: Witness) -> None:
    """Remove so many that the stack closes its gaps."""
    for number in range(20, 22):
        witness.remove(f"many {number}")


def clear(witness: Witness) -> None:
    """Forget all, and push one."""
    witness.clear(), witness.push("one")


def unwind(witness: Witness) -> None:
    """Run all."""
    witness.unwind()


def unwind_nested(witness: Witness) -> None:
    """Run all, from a handler too."""
    witness.stack.push((witness.unwind, (), {}))
    witness.unwind()


def unwind_in_time(witness: Witness) -> None:
    """Run all, on threads that could be left behind."""
    witness.unwind(seconds=60)


def many(witness: Witness) -> None:
    """A stack that is about to have more holes than handlers."""
    for number in range(40):
        witness.push(f"many {number}")
    for number in range(20):
        witness.remove(f"many {number}")


def one_with_a_limit(witness: Witness) -> None:
    """A stack of one ordinary handler and one with a limit of its own."""
    witness.push("odd first", odd=True)
    witness.push("timed", timeout=60)


SCENARIOS = {
    register: some,
    unregister: some,
    unregister_odd: some,
    unregister_last: some,
    unregister_most: many,
    clear: some,
    unwind: some,
    unwind_nested: some,
    unwind_in_time: one_with_a_limit,
}


def ctrl_c(witness: Witness) -> None:
    """What Python's own SIGINT handler does."""
    raise KeyboardInterrupt


def push_from_signal(witness: Witness) -> None:
    """A signal handler that registers one."""
    witness.push("from signal")


def remove_from_signal(witness: Witness) -> None:
    """A signal handler that removes one."""
    witness.remove("odd first" if "odd first" in witness.funcs else "many 20")


def unwind_from_signal(witness: Witness) -> None:
    """A signal handler that cleans up."""
    witness.unwind()


def clear_from_signal(witness: Witness) -> None:
    """A signal handler that forgets all."""
    witness.clear()


ACTS = (ctrl_c, push_from_signal, remove_from_signal, unwind_from_signal, clear_from_signal)


def test_a_scenario_closes_gaps() -> None:
    """The scenario that is there for it makes the stack close its gaps."""
    witness = Witness()
    many(witness)
    before = len(witness.stack.entries)
    unregister_most(witness)
    assert len(witness.stack.entries) < before


@pytest.mark.thorough(one_in=4)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_no_moment_is_a_bad_one(
    scenario: Callable[[Witness], None], act: Callable[[Witness], None]
) -> None:
    """A signal before any instruction of the stack's loses no handler and runs none twice."""
    for moment in count(1):
        witness, threads = Witness(), _thread._count()
        SCENARIOS[scenario](witness)
        more = True
        try:
            more = run_interrupted(
                partial(scenario, witness), moment, partial(act, witness), watched
            )
        except KeyboardInterrupt:
            assert act is ctrl_c
        wait_for_threads(threads)
        try:
            witness.check()
        except AssertionError as error:
            raise AssertionError(f"a signal before instruction {moment}: {error}") from None
        if not more:
            break
    assert moment > 5, "the tracer saw next to nothing of the stack"


@pytest.mark.thorough(one_in=4)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Refusal])
@pytest.mark.parametrize(
    "scenario", [unwind, unwind_nested, unwind_in_time], ids=lambda s: s.__name__
)
def test_an_unwinding_goes_on(
    scenario: Callable[[Witness], None], error: type[BaseException]
) -> None:
    """What a signal handler raises does not stop an unwinding that has begun.

    It may come out before the first handler or after the last one, as no code
    can catch what comes before its first instruction or after its last.
    """

    def raise_it() -> None:
        raise error

    for moment in count(1):
        witness, threads, more = Witness(), _thread._count(), True
        SCENARIOS[scenario](witness)
        try:
            more = run_interrupted(partial(scenario, witness), moment, raise_it, watched)
        except error:
            done = len(witness.stack) == 0
            assert done or not witness.ran, f"a signal before instruction {moment}: {witness.ran}"
        else:
            wait_for_threads(threads)
            lost = set(witness.pushed) - set(witness.ran)
            assert not lost, f"a signal before instruction {moment}: {sorted(lost)} did not run"
        wait_for_threads(threads)
        if not more:
            break
    assert moment > 20


def wait_for_threads(number: int) -> None:
    """An interrupted wait leaves its thread behind; what that one runs must be seen too."""
    deadline = monotonic() + 10
    while _thread._count() > number:
        assert monotonic() < deadline, "a thread is left"
        sleep(0.0005)


def test_ctrl_c_while_the_hooks_are_set(program: Callable[..., Program]) -> None:
    """Ctrl-C at any moment of the very first registration: the next one sets all hooks, once."""
    child = program(
        """
        import os, sys, traceback
        import lastout
        from interrupts import run_interrupted
        from say import say

        def ctrl_c():
            raise KeyboardInterrupt

        def first_registration(moment):
            registered, more = False, True
            def scenario():
                nonlocal registered
                lastout.register(say, moment, "first")
                registered = True
            try:
                more = run_interrupted(scenario, moment, ctrl_c, lambda file: "lastout" in file)
            except KeyboardInterrupt:
                pass
            say(moment, "registered" if registered else "interrupted")
            lastout.register(say, moment, "second")
            return 0 if more else 9

        lastout.register, lastout.unregister(say)  # loads what is loaded on first use
        moment = status = 0
        while status == 0:
            moment += 1
            pid = os.fork()
            if not pid:
                sys.exit(first_registration(moment))
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        say("moments", moment)
        sys.exit(status)
        """,
        modules={"interrupts": INTERRUPTS},
    )
    ended = child.end(100)
    assert ended.status == 9, ended.err
    *said, last = child.lines
    moments = int(last.split()[1])
    assert moments > 20
    for moment in range(1, moments + 1):
        mine = [line.split()[1] for line in said if line.startswith(f"{moment} ")]
        if mine[0] == "registered":
            assert mine == ["registered", "second", "first"], moment
        else:
            assert mine in (["interrupted", "second"], ["interrupted", "second", "first"]), moment


def test_ctrl_c_while_forking(program: Callable[..., Program]) -> None:
    """Ctrl-C at any moment of the fork hooks: a child still runs its own handlers and no others."""
    child = program(
        """
        import os, sys
        import lastout
        from interrupts import run_interrupted
        from say import say

        main, moment, more = os.getpid(), 0, True
        sys.unraisablehook = lambda unraisable: None  # CPython shows what leaves a hook

        def who():
            return "parent" if os.getpid() == main else f"child{moment}"

        def ctrl_c():
            raise KeyboardInterrupt

        def forked(moment):
            try:
                return run_interrupted(os.fork, moment, ctrl_c, lambda file: "lastout" in file)
            except KeyboardInterrupt:
                return True

        lastout.register(lambda: say("parent's", who()))
        lastout.handler(inherit=True)(lambda: say("inherited", who()))
        while more:
            moment += 1
            more = forked(moment)
            if os.getpid() != main:
                lastout.register(lambda: say("own", who()))
                sys.exit(0 if more else 9)
            status = os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1])
            assert status in (0, 9), status
            more = more or status == 0
        say("moments", moment)
        """,
        modules={"interrupts": INTERRUPTS},
    )
    ended = child.end(100)
    assert ended.status == 0, ended.err
    *said, moments, inherited, parents = child.lines
    count = int(moments.split()[1])
    assert count > 20
    assert (inherited, parents) == ("inherited parent", "parent's parent")
    for moment in range(1, count + 1):
        mine = [line.split()[0] for line in said if line.endswith(f" child{moment}")]
        assert mine == ["own", "inherited"], f"a signal before instruction {moment}"
