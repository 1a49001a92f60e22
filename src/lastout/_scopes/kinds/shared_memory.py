"""Shared memory and named semaphores that the standard library's tracker never knows.

multiprocessing tells its resource tracker of each one, in every process that
opens it, and the tracker unlinks them and warns when the first process tree
that used them ends.  Here the scope decides when they go.  So `SharedMemory`
is the standard one without those calls:

    3.13 and later    track=False, also where it is unpickled
    3.11, 3.12        the same methods, compiled from the standard library's own
                      code, but in a namespace whose tracker does nothing

Nothing of the standard library is changed, for anybody else.
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]
import _posixshmem  # type: ignore[import-not-found]
import os
from contextlib import contextmanager
from errno import ENOMEM, ENOSPC
from multiprocessing import shared_memory
from types import FunctionType

from ..._platform import files
from ..._platform.files import SHARED_MEMORY_CAN_BE_UNTRACKED, semaphore_file, shared_memory_file
from ..._platform.imports import public
from ...errors import SystemRefused, UsageError
from . import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Final

    from ...deadline import Deadline

_SEMAPHORE: Final = 1  # SemLock's number for a semaphore; 0 is a recursive lock
_LONGEST: Final = 240  # bytes of a name: NAME_MAX less what libc puts before it


class _NoTracker:
    """Stands where the resource tracker is expected, and does nothing."""

    @staticmethod
    def register(name: str, rtype: str) -> None:
        """Not ours to track."""

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

    It can be pickled to any process, which then does not track it either.  Use
    it also to open one by its name: the standard class up to 3.12 would track
    it, and its tracker would unlink it when that process ends.

    Args:
        name: without a slash at its start.
        create: make it; else open one that is there.
        size: in bytes, when it is made.
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
        name: what it is opened by.
    """

    def __init__(self, name: str, value: int | None = None) -> None:
        """Make it with `value`, or open the one that is there."""
        self.name = name
        limit = _multiprocessing.SemLock.SEM_VALUE_MAX
        if value is None:
            self._lock = _multiprocessing.SemLock._rebuild(0, _SEMAPHORE, limit, f"/{name}")
        else:
            self._lock = _multiprocessing.SemLock(_SEMAPHORE, value, limit, f"/{name}", False)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take one, waiting for `timeout` seconds at most; whether there was one."""
        return bool(self._lock.acquire(block, timeout))

    def release(self) -> None:
        """Give one back."""
        self._lock.release()

    def get_value(self) -> int:
        """How many could be taken now."""
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


def checked_name(kind: str, name: str | None, file_of: Callable[[str], str | None]) -> str:
    """`name`, or a fresh one for `None`, if something of that name can be made.

    Raises:
        ArtifactExists: it is there already.
        UsageError: it is no possible name.
        TypeError: it is not text.
    """
    if name is None:
        return paths.fresh_name("lastout")
    if not isinstance(name, str):
        raise TypeError(f"the name of a {kind} must be str or None, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= _LONGEST or name in (".", "..") or "/" in name or "\0" in name:
        raise UsageError(
            f"{name!r} cannot be the name of a {kind}: it must have 1 to {_LONGEST} bytes,"
            " no slash and no NUL",
            kind=kind,
        )
    if (file := file_of(name)) is not None and paths.look(file) is not None:
        raise paths.already_there(kind, name)
    return name


def look(kind: str, name: str) -> os.stat_result | None:
    """The file behind it, where the system has one."""
    file = (shared_memory_file if kind == "shared_memory" else semaphore_file)(name)
    return paths.look(file) if file else None


def facts(kind: str, name: str) -> dict[str, Any]:
    """By what the one that was just made is known again."""
    found = look(kind, name)
    return paths.facts(found) if found else {}


def take_room(made: SharedMemory, size: int) -> None:
    """Have the system give it all of its memory now, or refuse; then it is gone again.

    Else who writes to it dies of SIGBUS where there is no room: in containers /dev/shm is small.
    """
    try:
        files.take_room(made._fd, size)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        made.close()
        raise


@contextmanager
def refusals(kind: str, name: str, size: int = 0) -> Iterator[None]:
    """Say how much was asked for and where, when the system refuses to make one."""
    try:
        yield
    except FileExistsError as error:
        raise paths.already_there(kind, name) from error
    except OSError as error:
        place = os.path.dirname(files.shared_memory_file(name) or "") or "shared memory"
        what = f"shared memory of {size} bytes" if size else "a semaphore"
        hint = f"; ask for less, or make {place} larger (docker run --shm-size)"
        raise SystemRefused(
            f"cannot make {what} in {place}: {error.strerror or error}"
            f"{hint if error.errno in (ENOSPC, ENOMEM) else ''}",
            number=error.errno,
            path=place,
        ) from error


def unlink_shared_memory(name: str) -> None:
    """Take its name from it."""
    _posixshmem.shm_unlink(f"/{name}")


def unlink_semaphore(name: str) -> None:
    """Take its name from it."""
    _multiprocessing.sem_unlink(f"/{name}")


def clean_shared_memory(location: str, data: Mapping[str, Any], _: Deadline) -> None:
    """Unlink shared memory; those who have it mapped keep it until they close it."""
    _unlink("shared_memory", location, data, unlink_shared_memory)


def clean_semaphore(location: str, data: Mapping[str, Any], _: Deadline) -> None:
    """Unlink a named semaphore; those who have it open keep it."""
    _unlink("semaphore", location, data, unlink_semaphore)


def _unlink(kind: str, name: str, data: Mapping[str, Any], unlink: Callable[[str], object]) -> None:
    found = look(kind, name)
    if found is not None:
        paths.check_same(kind, name, data, found)
    try:
        unlink(name)
    except FileNotFoundError:
        return
