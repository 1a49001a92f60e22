"""Registry: registering and unregistering, beside everything that can be told of an exit."""

from __future__ import annotations

import atexit
import multiprocessing.util
import signal
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING

import lastout

from .measure import Line, Median, medians, timed
from .rivals import rival as optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMES = 1000
AMONG = (10, 100, 1_000, 10_000, 100_000)
REGISTER_BUDGET = 3.0
PAIR_BUDGET = {10_000: 0.1}

multiexit = optional("multiexit")


def lines(quick: bool) -> Iterator[Line]:
    """Registering; then, for more and more handlers, a pair of calls among them, and their end."""
    yield from registering(10 if quick else 200)
    for number in AMONG[:-1] if quick else AMONG:
        yield from pairs(number, 3 if quick else 30)
    for number in AMONG[:-1] if quick else AMONG:
        yield from living(number, 3 if quick else 15)


def nothing() -> None:
    """A handler."""


def registering(rounds: int) -> Iterator[Line]:
    """One registration of many in a row, beside what others offer."""
    rivals = {
        "atexit.register": lambda: _repeated(atexit.register, atexit._clear),
        "weakref.finalize": _weakref_finalize,
        "multiprocessing.util.Finalize": _util_finalize,
        "ExitStack.callback": _exit_stack,
        **({"multiexit.register": _multiexit} if multiexit is not None else {}),
    }
    took = medians({"ours": lambda: _repeated(lastout.register, lastout._clear), **rivals}, rounds)
    for rival in rivals:
        budget = REGISTER_BUDGET if rival == "atexit.register" else None
        yield Line("register", took["ours"], rival, took[rival], budget)


def _repeated(
    register: Callable[[Callable[[], None]], object], clear: Callable[[], object]
) -> float:
    def work() -> None:
        for _ in range(TIMES):
            register(nothing)

    took = timed(work, TIMES)
    clear()
    return took


def _exit_stack() -> float:
    stack = ExitStack()
    return _repeated(stack.callback, stack.pop_all)


def _multiexit() -> float:
    """It registers nothing twice, so these differ; and it takes SIGTERM, here for a moment."""
    handlers = [lambda: None for _ in range(TIMES)]
    before = signal.signal(signal.SIGTERM, multiexit.handler)

    def work() -> None:
        for handler in handlers:
            multiexit.register(handler)

    took = timed(work, TIMES)
    for handler in handlers:
        multiexit.unregister(handler)
    signal.signal(signal.SIGTERM, before)
    return took


class _Owner:
    """What a finalizer can watch; it takes its finalizer along when it goes."""


def _weakref_finalize() -> float:
    owners = [_Owner() for _ in range(TIMES)]

    def work() -> None:
        for owner in owners:
            weakref.finalize(owner, nothing)

    return timed(work, TIMES)


def _util_finalize() -> float:
    made: list[multiprocessing.util.Finalize] = []

    def register(func: Callable[[], None]) -> None:
        made.append(multiprocessing.util.Finalize(None, func, exitpriority=0))

    def clear() -> None:
        for finalizer in made:
            finalizer.cancel()

    return _repeated(register, clear)


def pairs(number: int, rounds: int) -> Iterator[Line]:
    """A register and unregister pair among `number` handlers; the first one apart.

    lastout looks at what was registered before when something is first
    unregistered, and never again.
    """
    times = max(3, min(1000, 100_000 // number))
    first: dict[str, list[float]] = {"ours": [], "its": []}

    def case(name: str, registry: object) -> Callable[[], float]:
        register, unregister, clear = (
            getattr(registry, verb) for verb in ("register", "unregister", "_clear")
        )

        def pair() -> None:
            register(nothing)
            unregister(nothing)

        def work() -> None:
            for _ in range(times):
                register(nothing)
                unregister(nothing)

        def measure() -> float:
            for handler in [lambda: None for _ in range(number)]:
                register(handler)
            first[name].append(timed(pair))
            took = timed(work, times)
            clear()
            return took

        return measure

    took = medians({"ours": case("ours", lastout), "its": case("its", atexit)}, rounds)
    budget = PAIR_BUDGET.get(number)
    what = "register + unregister among {}"
    yield Line(what, took["ours"], "atexit", took["its"], budget, size=number)
    once = {name: Median.of(values) for name, values in first.items()}
    yield Line("... the first time, {}", once["ours"], "atexit", once["its"], size=number)


def living(number: int, rounds: int) -> Iterator[Line]:
    """Registering so many handlers and running them all, for each of them."""

    def case(
        register: Callable[[Callable[[], None]], object], run: Callable[[], object]
    ) -> Callable[[], float]:
        def work() -> None:
            for _ in range(number):
                register(nothing)
            run()

        return lambda: timed(work, number)

    stack = ExitStack()
    rivals = {
        "atexit": case(atexit.register, atexit._run_exitfuncs),
        "ExitStack": case(stack.callback, stack.close),
    }
    took = medians({"ours": case(lastout.register, lastout._run_exitfuncs), **rivals}, rounds)
    for rival in rivals:
        what = "register and run, each of {}"
        yield Line(what, took["ours"], rival, took[rival], size=number)
