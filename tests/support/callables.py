"""Callables of every sort that `unregister` may be given, each logging what it is called with.

log = []
for kind, func in every_callable(log).items(): ...
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable

Log = list[object]
Logger = Callable[..., object]


class Plain:
    """An object with Python's own equality, and methods."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def method(self, token: object) -> None:
        self.log.append(token)

    def other(self, token: object) -> None:
        self.log.append(token)

    def __call__(self, token: object) -> None:
        self.log.append(token)


class SameSize(Plain):
    """Equal by value and without a hash; its methods are still equal by identity only."""

    size = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameSize) and self.size == other.size

    __hash__ = None  # type: ignore[assignment]


class HashedByValue(SameSize):
    """Equal by value, with the hash that belongs to it."""

    def __hash__(self) -> int:
        return hash(self.size)


class HashedAtRandom(SameSize):
    """Equal by value, with a hash that breaks the rules."""

    def __hash__(self) -> int:
        return id(self)


class EqualsAll(Plain):
    """Thinks that it equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class EqualsNone(Plain):
    """Equals nothing, not even itself; identity still counts, as in a list."""

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 1


class NoEqual(Plain):
    """Leaves each comparison to the other side."""

    def __eq__(self, other: object) -> bool:
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


class Refusal(Exception):
    """What `Refuses` raises."""


class Refuses(Plain):
    """Raises when compared with anything else."""

    def __eq__(self, other: object) -> bool:
        raise Refusal

    __hash__ = None  # type: ignore[assignment]


class NoTruth:
    """What array libraries return from a comparison: it has no truth value."""

    def __bool__(self) -> bool:
        raise Refusal


class ComparesLikeAnArray(Plain):
    """Compares without an error, but the answer is no bool."""

    def __eq__(self, other: object) -> NoTruth:  # type: ignore[override]
        return NoTruth()

    __hash__ = None  # type: ignore[assignment]


class OddFunction(SameSize):
    """Equal by value, and bound to objects as a function would be."""

    def __call__(self, owner: object, token: object) -> None:  # type: ignore[override]
        self.log.append(token)


class OddType(type):
    """Classes of this one are all equal to each other."""

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, OddType)

    def __hash__(cls) -> int:
        return 7


def every_callable(log: Log) -> dict[str, Callable[[], Logger]]:
    """For each kind of callable, what gives one: some a new object that equals the last one."""

    def function(token: object) -> None:
        log.append(token)

    def another(token: object) -> None:
        log.append(token)

    def new_function() -> Logger:
        def logs(token: object) -> None:
            log.append(token)

        return logs

    def odd_class() -> Logger:
        return OddType("Odd", (), {"__init__": lambda self, token: log.append(token)})

    plain, sized = Plain(log), SameSize(log)
    one_partial = functools.partial(function)
    kinds: dict[str, Callable[[], Logger]] = {
        "function": lambda: function,
        "another function": lambda: another,
        "new function": new_function,
        "bound method": lambda: plain.method,
        "another bound method": lambda: plain.other,
        "bound method of another": lambda: Plain(log).method,
        "method of an unhashable": lambda: sized.method,
        "method of its equal": lambda: SameSize(log).method,
        "method of an odd function": lambda: types.MethodType(OddFunction(log), plain),
        "builtin": lambda: log.append,
        "partial": lambda: one_partial,
        "new partial": lambda: functools.partial(function),
        "plain object": lambda: plain,
        "odd class": odd_class,
    }
    for cls in (SameSize, HashedByValue, HashedAtRandom, EqualsAll, EqualsNone, NoEqual):
        kinds[cls.__name__] = functools.partial(cls, log)
    for cls in (Refuses, ComparesLikeAnArray):
        kinds[cls.__name__] = functools.partial(cls, log)
    return kinds
