"""Holding a scope: one process at a time, and not twice by the same thread."""

from __future__ import annotations

from contextlib import contextmanager

from ..._platform.genuine import UnpatchedModule
from ...deadline import Deadline
from ...errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from ...backends.base import Backend, LockedScope

# How long to wait for whoever holds a scope, or cleans it.
PATIENCE: Final = 60.0


_local: Any = UnpatchedModule("_thread")._local


class _HeldByThread(_local):  # type: ignore[misc]
    def __init__(self) -> None:
        self.paths: set[str] = set()


_holding = _HeldByThread()


@contextmanager
def hold(
    backend: Backend, scope: str, path: str, deadline: Deadline | None = None, create: bool = False
) -> Iterator[LockedScope | None]:
    """The scope, held until the end of the block; `None` if there is none.

    Raises:
        ScopeBusy: another process held it until the deadline.
        UsageError: this thread holds it already: a cleanup of the scope asks.
    """
    if path in _holding.paths:
        raise UsageError(
            f"a cleanup of the scope {path!r} cannot join, leave, reap or look at that very scope"
        )
    held = backend.hold(scope, deadline or Deadline(PATIENCE), create)
    if held is None:
        yield None
        return
    _holding.paths.add(path)
    try:
        with held:
            yield held
    finally:
        _holding.paths.discard(path)
