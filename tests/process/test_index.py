"""Index: entries found by their callable, as `==` would find them but without looking at each."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from lastout._exits.callable_index import CallableIndex, hashes_as_it_equals
from support.callables import EqualsAll, Refusal, Refuses, SameSize, every_callable

Entries = list[tuple[Callable[..., object], tuple[()], dict[str, object]] | None]


def entries_of(*funcs: Callable[..., object]) -> Entries:
    """What a stack holds of these callables."""
    return [(func, (), {}) for func in funcs]


def found(entries: Entries, func: object, index: CallableIndex | None = None) -> list[int]:
    """The places that an index finds."""
    index = index or CallableIndex()
    index.take_in(entries)
    return sorted(place for place, _ in index.matches(func, entries))


class Plain:
    def method(self) -> None: ...

    def other(self) -> None: ...


class OwnHash:
    """Equal by identity, yet with a hash of its own."""

    def __hash__(self) -> int:
        return 5

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "func",
    [lambda: None, print, Plain().method, Plain(), functools.partial(print)],
    ids=["function", "builtin", "method", "object", "partial"],
)
def test_ordinary_callables_are_found_by_hash(func: Callable[..., object]) -> None:
    """What programs register in practice does not have to be compared one by one."""
    assert hashes_as_it_equals(func)


@pytest.mark.parametrize(
    "func", [SameSize([]), EqualsAll([]), Refuses([])], ids=lambda func: type(func).__name__
)
def test_odd_callables_are_not_trusted_with_a_hash(func: Callable[..., object]) -> None:
    """A callable with an equality of its own is compared, whatever its hash says."""
    assert not hashes_as_it_equals(func)


def test_an_equal_method_is_the_same_callable() -> None:
    """Each look at a bound method gives a new object; all of them are found as one."""
    plain = Plain()
    assert found(entries_of(plain.method, plain.other, Plain().method), plain.method) == [0]


def test_every_occurrence_is_found() -> None:
    """A callable that lies at several places is found at each, and nothing else is."""
    assert found(entries_of(print, len, print, repr, print), print) == [0, 2, 4]


def test_holes_are_not_found() -> None:
    """A place that was emptied before the index looked is passed over."""
    entries = entries_of(print, print)
    entries[0] = None
    assert found(entries, print) == [1]
    assert found(entries, EqualsAll([])) == [1]


def test_what_was_pushed_later_is_found() -> None:
    """The index learns what came after its last look."""
    index, entries = CallableIndex(), entries_of(print)
    assert found(entries, print, index) == [0]
    entries += entries_of(len, print)
    assert found(entries, print, index) == [0, 2]


def test_a_forgotten_place_is_found_no_more() -> None:
    """What the stack gave up is forgotten, and only that."""
    index, entries = CallableIndex(), entries_of(print, print, SameSize([]))
    index.take_in(entries)
    for place in (0, 2):
        entry = entries[place]
        assert entry is not None
        index.forget(place, entry)
    assert found(entries, print, index) == [1]
    assert [place for place, _ in index.matches(len, entries)] == []


KINDS = sorted(every_callable([]))


@pytest.mark.parametrize("one", KINDS)
def test_found_exactly_when_equal(one: str) -> None:
    """Whatever lies there and whatever is looked for, it is found just when `==` says so."""
    kinds = every_callable([])
    for other in KINDS:
        pushed, wanted = kinds[one](), kinds[other]()
        entries = entries_of(pushed)
        try:
            equal = pushed is wanted or bool(pushed == wanted)
        except Refusal:
            with pytest.raises(Refusal):
                found(entries, wanted)
        else:
            assert found(entries, wanted) == ([0] if equal else []), other


def test_looking_does_not_compare_ordinary_callables() -> None:
    """Among any number of ordinary handlers a lookup compares with the odd ones only."""
    compared = []

    class Counts(SameSize):
        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return False

        __hash__ = None  # type: ignore[assignment]

    entries = entries_of(*(functools.partial(print) for _ in range(1000)), Counts([]))
    assert found(entries, print) == []
    assert compared == [print]


def test_forgotten_twice() -> None:
    """A place that is forgotten twice counts once, and the others are still known."""
    index, entries = CallableIndex(), entries_of(len, len)
    index.take_in(entries)
    one, entries[0] = entries[0], None
    assert one is not None
    index.forget(0, one)
    index.forget(0, one)
    assert found(entries, len, index) == [1]
