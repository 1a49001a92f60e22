"""Shared memory and named semaphores that are not registered with the resource tracker.

multiprocessing registers shared memory and semaphores with its resource tracker in every
process that opens them, and the tracker unlinks them and warns when the first process tree
that used them ends.  In lastout the scope decides when they are unlinked.  So `SharedMemory` is
the standard class without the registration:

    3.13 and later    track=False, also where it is unpickled
    3.11, 3.12        the same methods, with the standard library's own code, but in a
                      namespace whose tracker does nothing

The standard library itself is not changed, so other code in the process is not affected.

Tested by: tests/shared/test_segments.py
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]
from multiprocessing import shared_memory
from types import FunctionType

from ..._platform.files import SHARED_MEMORY_CAN_BE_UNTRACKED
from ..._platform.imports import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_SEMAPHORE: Final = 1  # SemLock's number for a semaphore; 0 is a recursive lock


class _NoTracker:
    """A replacement for the resource tracker that does nothing."""

    @staticmethod
    def register(name: str, rtype: str) -> None:
        """Do nothing, because the scope unlinks shared memory and semaphores."""

    unregister = register


def _untracked(method: Callable[..., Any]) -> Callable[..., Any]:
    assert isinstance(method, FunctionType)
    namespace = {**method.__globals__, "resource_tracker": _NoTracker}
    copy = FunctionType(
        method.__code__, namespace, method.__name__, method.__defaults__, method.__closure__
    )
    copy.__doc__ = method.__doc__
    return copy


@public
class SharedMemory(shared_memory.SharedMemory):
    """`multiprocessing.shared_memory.SharedMemory`, unknown to the resource tracker.

    It can be pickled to any process, which then does not register it either.  Use this class
    also to open shared memory by its name, because the standard class up to 3.12 would register
    it, and the tracker would unlink it when that process ends.

    Args:
        name: the name, without a leading slash.
        create: whether to make new shared memory, or open existing memory.
        size: the size in bytes of new shared memory.
    """

    if TYPE_CHECKING or SHARED_MEMORY_CAN_BE_UNTRACKED:

        def __init__(self, name: str | None = None, create: bool = False, size: int = 0) -> None:
            super().__init__(name, create, size, track=False)  # type: ignore[call-arg,unused-ignore]

    else:
        __init__ = _untracked(shared_memory.SharedMemory.__init__)
        unlink = _untracked(shared_memory.SharedMemory.unlink)


@public
class Semaphore:
    """A named POSIX semaphore, shared by all processes that open its name.

    It can be pickled to any process.

        >>> with semaphore:                             # doctest: +SKIP
        ...     print("at most `value` processes at once")

    Attributes:
        name: the name by which processes open it.
    """

    def __init__(self, name: str, value: int | None = None) -> None:
        """Make a semaphore with `value`; open an existing semaphore for `None`."""
        self.name = name
        limit = _multiprocessing.SemLock.SEM_VALUE_MAX
        if value is None:
            self._lock = _multiprocessing.SemLock._rebuild(0, _SEMAPHORE, limit, f"/{name}")
        else:
            self._lock = _multiprocessing.SemLock(_SEMAPHORE, value, limit, f"/{name}", False)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Decrement the value, waiting up to `timeout` seconds; returns whether that succeeded."""
        return bool(self._lock.acquire(block, timeout))

    def release(self) -> None:
        """Increment the value."""
        self._lock.release()

    def get_value(self) -> int:
        """The present value."""
        return int(self._lock._get_value())

    def __enter__(self) -> Semaphore:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return Semaphore, (self.name,)

    def __repr__(self) -> str:
        return f"<Semaphore {self.name!r}>"
