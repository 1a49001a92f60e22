"""Outside: which scopes the processes that a thread starts right now have no part in.

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
    """Whether what this thread starts now is to be no member of that scope."""
    return (get_ident(), path) in _without


@contextmanager
def outside(path: str) -> Iterator[None]:
    """What this thread starts in the block is no member of that scope."""
    entry = get_ident(), path
    _without.append(entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # a child that was forked in it has forgotten it
            _without.remove(entry)


def forget() -> None:
    """In a forked child: what its parent was in the middle of is not its own."""
    _without.clear()
