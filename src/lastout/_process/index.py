"""Index: find the entries of a stack by their callable, without looking at each.

`unregister` promises to compare by `==`.  For most callables equality is
identity, or is as their hash says, and a dictionary finds them.  The rest (an
object with an `__eq__` of its own, or without a hash) is compared one by one;
and where the callable looked for is itself such a one, all are.

Entries are taken in late, when something is first looked for: registering
costs nothing here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .handler import Entry

    Place = tuple[int, Entry]

_Function = type(lambda: None)
_Builtin = type(len)
_Method = type("".__class__.mro.__get__) if False else type(_Function.__get__(lambda: None, object()))


def hashes_as_it_equals(func: object) -> bool:
    """Whether a dictionary lookup gives the same answer as `==` against each."""
    kind = type(func)
    if kind is _Function or kind is _Builtin:
        return True
    if kind is _Method:
        return type(func.__func__) is _Function  # type: ignore[attr-defined]
    return kind.__eq__ is object.__eq__ and kind.__hash__ is object.__hash__
