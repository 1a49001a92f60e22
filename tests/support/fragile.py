"""A backend that can be told at which of its calls the process that makes it is killed.

    Mortal --strikes?--> kill before the call, or right after it

Only calls that change something count: to be killed before one that only looks is
to be killed before the next that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from lastout.backends.base import Backend, JournalLock, LockedScope


class Killed(BaseException):
    """Takes a killed process out of whatever it was doing, as nothing else does."""


class Mortal:
    """Counts what a process does, and kills it when its time has come."""

    def __init__(self) -> None:
        self._left: int | None = None

    def arm(self, calls: int | None) -> None:
        """Strike before the call after so many half calls; `None` for never."""
        self._left = calls

    def call(self, change: Callable[..., Any], *args: Any) -> Any:
        """Do it, unless it was killed before; and perhaps nothing after it."""
        self._step()
        done = change(*args)
        self._step()
        return done

    def _step(self) -> None:
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            raise Killed


class FragileBackend:
    """See `Backend`.  `order` is the order in which members are listed."""

    def __init__(self, backend: Backend, mortal: Mortal, order: Callable[[str], int]) -> None:
        self._backend = backend
        self._mortal = mortal
        self._order = order
        self.place = backend.place
        self.leases: list[JournalLock] = []  # what the kernel frees when the process dies

    def lock_scope(self, *args: Any, **options: Any) -> Any:
        held = self._backend.lock_scope(*args, **options)
        return FragileHeld(held, self) if held else None

    def publish(self, *args: Any) -> Any:
        return self.taken(self._mortal.call(self._opened, self._backend, *args))

    def _opened(self, where: Any, *args: Any) -> Any:
        journal_lock = where.publish(*args)
        self.leases.append(journal_lock)
        return journal_lock

    def taken(self, journal_lock: JournalLock) -> Any:
        return FragileLease(journal_lock, self._mortal)

    def close(self) -> None:
        """What the kernel does with what a dead process had open."""
        for journal_lock in self.leases:
            journal_lock.close()


class FragileHeld:
    """See `LockedScope`."""

    def __init__(self, held: LockedScope, backend: FragileBackend) -> None:
        self._held = held
        self._backend = backend
        self._mortal = backend._mortal

    def __enter__(self) -> Any:
        self._held.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.__exit__(kind, error, trace)

    def members(self) -> list[str]:
        return sorted(self._held.members(), key=self._backend._order)

    def publish(self, *args: Any) -> Any:
        return self._backend.taken(self._mortal.call(self._backend._opened, self._held, *args))

    def append(self, *args: Any) -> None:
        self._mortal.call(self._held.append, *args)

    def forget(self, member: str) -> None:
        self._mortal.call(self._held.forget, member)

    def sweep(self) -> Any:
        return self._mortal.call(self._held.sweep)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._held, name)


class FragileLease:
    """See `JournalLock`."""

    def __init__(self, journal_lock: JournalLock, mortal: Mortal) -> None:
        self._lease = journal_lock
        self._mortal = mortal

    def append(self, records: bytes) -> None:
        self._mortal.call(self._lease.append, records)

    def close(self) -> None:
        self._mortal.call(self._lease.close)

    def give_up(self) -> None:
        self._mortal.call(self._lease.give_up)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease, name)
