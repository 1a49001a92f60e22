"""The stack of exit handlers does what a plain list would do.

The model is a list of steps, last in, first out.  Each step has a script: what
its handler does to the stack while it runs (push, remove, clear, unwind again,
raise).  Stack and list both play the same scripts, and must call the same
handlers in the same order.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lastout._exits.exit_handler import ExitHandler
from lastout._exits.stack import HandlerStack
from lastout.deadline import Deadline
from support.callables import Log, Refusal, every_callable

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = sorted(every_callable([]))
Action = tuple[Any, ...]  # what a handler does: its name, and what with


def scripts(depth: int = 2) -> st.SearchStrategy[tuple[Action, ...]]:
    """What a handler does while it runs; what it pushes has scripts of its own."""
    actions = [
        st.tuples(st.just("remove"), st.integers(0, 30)),
        st.just(("clear",)),
        st.just(("unwind",)),
        st.just(("raise",)),
    ]
    if depth:
        actions.append(st.tuples(st.just("push"), scripts(depth - 1)))
    some = st.lists(st.one_of(actions), max_size=3).map(tuple)
    return st.one_of(st.just(()), some)


def same(one: object, other: object) -> bool:
    """Equality as Python's own containers see it."""
    return one is other or bool(one == other)


class Step:
    """An entry of the model: a callable, its token, and what it does when called."""

    def __init__(self, func: Callable[..., object], token: object, script: tuple[Action, ...]):
        self.func = func
        self.token = token
        self.script = script


class StackIsAList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: Log = []
        self.expected: Log = []
        self.stack = HandlerStack()
        self.model: list[Step] = []
        self.kinds = every_callable(self.log)
        self.tokens = count()
        self.known: list[tuple[Callable[..., object], tuple[Action, ...]]] = []
        self.refused: deque[set[object]] = deque()  # what was left where a comparison raised
        self.raised: list[BaseException] = []
        self.push_both(self.kinds["function"](), ())  # so that `known` is never empty

    # --- pushing

    @rule(kind=st.sampled_from(KINDS))
    def push(self, kind: str) -> None:
        """Push what `register` pushes, with any kind of callable."""
        self.push_both(self.kinds[kind](), ())

    @rule(script=scripts())
    def push_with_script(self, script: tuple[Action, ...]) -> None:
        """Push a handler that does things to the stack while it runs."""
        self.push_both(self.player(script), script)

    def push_both(self, func: Callable[..., object], script: tuple[Action, ...]) -> None:
        token = next(self.tokens)
        self.stack.push((func, (token,), {}))
        self.model.append(Step(func, token, script))
        self.known.append((func, script))

    @rule(many=st.integers(33, 80), each=st.integers(2, 5))
    def push_many_and_thin_out(self, many: int, each: int) -> None:
        """Push so many and remove so many of them that the stack has to close its gaps."""
        start = len(self.known)
        for _ in range(many):
            self.push_both(self.kinds["new function"](), ())
        thin, self.known[start:] = self.known[start:], self.known[start::each]
        for number, (func, _) in enumerate(thin):
            if number % each:
                self.remove_from_stack(func)
                self.remove_from_model(func)

    @rule(data=st.data())
    def push_again(self, data: st.DataObject) -> None:
        """Push a callable that was pushed before, this time as a Handler."""
        func, script = data.draw(st.sampled_from(self.known))
        token = next(self.tokens)
        self.stack.push(ExitHandler(func, (token,)))
        self.model.append(Step(func, token, script))

    def player(self, script: tuple[Action, ...]) -> Callable[[object], None]:
        """A handler that plays a script against the stack."""

        def play(token: object) -> None:
            self.log.append(token)
            for number, (action, *rest) in enumerate(script):
                if action == "push":
                    self.stack.push((self.player(rest[0]), ((token, number),), {}))
                elif action == "remove":
                    self.remove_from_stack(self.nth_known(rest[0]))
                elif action == "clear":
                    self.stack.clear()
                elif action == "unwind":
                    self.unwind()
                else:
                    raise Refusal

        return play

    def nth_known(self, number: int) -> Callable[..., object]:
        return self.known[number % len(self.known)][0]

    # --- removing

    @rule(data=st.data())
    def remove_known(self, data: st.DataObject) -> None:
        """Remove a callable by the object that was pushed."""
        func, _ = data.draw(st.sampled_from(self.known))
        self.remove_from_stack(func)
        self.remove_from_model(func)

    @rule(kind=st.sampled_from(KINDS))
    def remove_other(self, kind: str) -> None:
        """Remove by another object, which may be equal to none, some or all."""
        func = self.kinds[kind]()
        self.remove_from_stack(func)
        self.remove_from_model(func)

    def remove_from_stack(self, func: Callable[..., object]) -> None:
        try:
            self.stack.remove(func)
        except Refusal:
            left = {entry[1][0] for entry in self.stack.entries if entry is not None}
            self.refused.append(left)

    def remove_from_model(self, func: Callable[..., object]) -> None:
        try:
            self.model[:] = [step for step in self.model if not same(step.func, func)]
        except Refusal:
            # How far it got is not promised, only that it took nothing but equals.
            left = self.refused.popleft()
            gone = [step for step in self.model if step.token not in left]
            assert all(same(step.func, func) for step in gone)
            self.model[:] = [step for step in self.model if step.token in left]

    # --- the rest

    @rule()
    def clear(self) -> None:
        """Forget everything."""
        self.stack.clear()
        self.model.clear()

    @rule()
    def unwind_both(self) -> None:
        """Run everything, and compare what was called, in which order."""
        self.unwind()
        self.play_model()
        assert self.log == self.expected
        assert not self.model
        assert not self.refused

    def unwind(self) -> None:
        self.stack.unwind(Deadline(), lambda error, *_: self.raised.append(error))

    def play_model(self) -> None:
        while self.model:
            step = self.model.pop()
            self.expected.append(step.token)
            self.play_script(step)

    def play_script(self, step: Step) -> None:
        for number, (action, *rest) in enumerate(step.script):
            if action == "push":
                self.model.append(Step(self.player(rest[0]), (step.token, number), rest[0]))
            elif action == "remove":
                self.remove_from_model(self.nth_known(rest[0]))
            elif action == "clear":
                self.model.clear()
            elif action == "unwind":
                self.play_model()
            else:
                return

    @invariant()
    def as_many(self) -> None:
        """The stack holds as many handlers as the list."""
        assert len(self.stack) == len(self.model)

    def teardown(self) -> None:
        self.unwind_both()
        assert all(isinstance(error, Refusal) for error in self.raised)


TestStackIsAList = StackIsAList.TestCase
TestStackIsAList.settings = settings(stateful_step_count=30)
