"""ScopeRef: a scope by its name, which one process at a time locks, and no thread twice.

Tested by: tests/shared/test_scope.py, tests/shared/test_recovery.py
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..._platform.genuine import UnpatchedModule
from ...deadline import Deadline
from ...errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from ...backends.base import Backend, LockedScope

# How long to wait for the process that has locked a scope, or cleans it.
PATIENCE: Final = 60.0


_local: Any = UnpatchedModule("_thread")._local


class _LockedByThread(_local):  # type: ignore[misc]
    def __init__(self) -> None:
        self.paths: set[str] = set()


_locked = _LockedByThread()


class ScopeRef:
    """A scope by its name, whether or not it exists.

    Args:
        backend: the backend that the scope is in.
        name: the name of the scope.

    Attributes:
        path: the path of the scope.
    """

    __slots__ = ("backend", "name", "path")

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.name = name
        self.path = os.path.join(backend.place, name)

    @contextmanager
    def lock(
        self, deadline: Deadline | None = None, create: bool = False
    ) -> Iterator[LockedScope | None]:
        """Lock the scope until the end of the block; `None` if it does not exist.

        Args:
            deadline: until when to wait for another process; a minute if `None`.
            create: whether to create the scope if it does not exist.

        Raises:
            ScopeBusy: another process had it locked until the deadline.
            UsageError: this thread has locked it already, and runs a cleanup of the scope.
            RootRefused, SystemRefused: it cannot be used.
        """
        if self.path in _locked.paths:
            raise UsageError(
                f"a cleanup of the scope {self.path!r} cannot join, leave, reap or look at that"
                " very scope"
            )
        held = self.backend.lock_scope(self.name, deadline or Deadline(PATIENCE), create)
        if held is None:
            yield None
            return
        _locked.paths.add(self.path)
        try:
            with held:
                yield held
        finally:
            _locked.paths.discard(self.path)
