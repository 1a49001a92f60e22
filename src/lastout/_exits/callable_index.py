"""CallableIndex: find the entries of a stack by their callable, without looking at each.

`unregister` promises to compare by `==`.  For most callables equality agrees with
their hash, and a dictionary finds them.  The rest (an object with an `__eq__` of
its own, or without a hash) are compared one by one; and if the callable looked
for is such an object, all entries are.

The index takes in entries late, at the first search, so registering costs nothing
here.  The stack checks each answer before using it, so the index may list entries
that are gone, but never misses an entry.

Tested by: tests/process/test_index.py, tests/process/test_stack.py
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from .exit_handler import Entry

    Places = dict[int, Entry]

_Function = type(lambda: None)
_Builtin = type(len)


class _ClassWithMethod:
    def method(self) -> None: ...


_Method = type(_ClassWithMethod().method)


def hashes_as_it_equals(func: Any) -> bool:
    """Whether a dictionary finds the same callables for `func` as `==` against each does."""
    kind: Any = type(func)
    if kind is _Function or kind is _Builtin:
        return True
    if kind is _Method:  # two methods are equal if they have the same function and object
        return type(func.__func__) is _Function
    return kind.__eq__ is object.__eq__ and kind.__hash__ is object.__hash__


class CallableIndex:
    """Which places of a stack hold which callable."""

    def __init__(self) -> None:
        self._taken_in = 0  # the index knows the entries below this place
        self._alive = 0
        self._by_func: dict[Callable[..., object], Places] = {}
        self._odd: Places = {}

    def take_in(self, entries: Sequence[Entry | None]) -> None:
        """Learn the entries that were pushed since the last time."""
        while True:
            place = self._taken_in
            try:
                entry = entries[place]
            except IndexError:
                return
            if entry is not None:
                places = self._places_of(entry)
                self._alive += place not in places
                places[place] = entry
            self._taken_in = place + 1

    def matches(self, func: object, entries: Sequence[Entry | None]) -> Iterator[tuple[int, Entry]]:
        """Each place and entry whose callable equals `func`.

        Raises:
            Exception: a comparison raised it.
        """
        if hashes_as_it_equals(func):
            yield from list(self._by_func.get(func, {}).items())  # type: ignore[call-overload]
            suspects = list(self._odd.items())
        else:
            suspects = [(place, e) for place, e in enumerate(entries) if e is not None]
        for place, entry in suspects:
            if entry[0] is func or entry[0] == func:
                yield place, entry

    def forget(self, place: int, entry: Entry) -> None:
        """Drop the entry at `place`, because it has left the stack."""
        if place <= self._taken_in:  # `<=`, because `forget_beyond` may just have cut it off
            places = self._places_of(entry)
            if places.pop(place, None) is not None:
                self._alive -= 1
            if not places and places is not self._odd:
                self._by_func.pop(entry[0], None)

    def forget_beyond(self, length: int) -> None:
        """Take in places from `length` on again, because the stack may have changed there."""
        self._taken_in = min(self._taken_in, max(length, 0))

    def sparse(self) -> bool:
        """Whether most of the places known to the index are holes by now."""
        return self._taken_in > 32 and self._alive * 2 < self._taken_in

    def _places_of(self, entry: Entry) -> Places:
        func = entry[0]
        return self._by_func.setdefault(func, {}) if hashes_as_it_equals(func) else self._odd
