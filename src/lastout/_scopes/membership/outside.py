"""Outside: the scopes that processes started by a thread right now do not join.

Tested by: tests/shared/test_helpers.py
"""

from __future__ import annotations

from _thread import get_ident
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_without: list[tuple[int, str]] = []  # thread and scope, once for each block


def starts_outside(path: str) -> bool:
    """Whether processes that this thread starts now do not become members of the scope."""
    return (get_ident(), path) in _without


@contextmanager
def outside(path: str) -> Iterator[None]:
    """Keep processes that this thread starts in the block from becoming members of the scope."""
    entry = get_ident(), path
    _without.append(entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # a child that was forked in the block has called `forget`
            _without.remove(entry)


def forget() -> None:
    """In a forked child, forget the blocks that its parent's threads are in."""
    _without.clear()
