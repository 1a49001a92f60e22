"""Members that meet in memory: the reference that tests compare the others with.

It works within one process.  A journal lock that is dropped stands for a member that
was killed.
"""

from __future__ import annotations

from _thread import RLock

from ..errors import ScopeBusy, ScopeGone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from ..deadline import Deadline


class _ScopeInMemory:
    def __init__(self) -> None:
        self.journals: dict[str, bytearray] = {}
        self.journal_locks: dict[str, MemoryJournalLock] = {}
        self.locks: set[str] = set()


class MemoryBackend:
    """Scopes in this process; see `Backend`."""

    def __init__(self, place: str = "memory") -> None:
        self.place = place
        self._scopes: dict[str, _ScopeInMemory] = {}
        self._lock = RLock()

    def scopes(self) -> list[str]:
        """The names of the scopes that there are."""
        return sorted(self._scopes)

    def lock_scope(
        self, scope: str, deadline: Deadline, create: bool = False
    ) -> LockedMemory | None:
        """The scope, locked; see `Backend`."""
        left = deadline.left()
        if not self._lock.acquire(timeout=-1 if left is None else left):
            raise ScopeBusy(f"the scope {scope!r} is held by another thread", path=scope)
        if scope not in self._scopes:
            if not create:
                self._lock.release()
                return None
            self._scopes[scope] = _ScopeInMemory()
        return LockedMemory(self, scope)

    def publish(self, scope: str, member: str, records: bytes) -> MemoryJournalLock:
        """A journal of one's own; see `Backend`."""
        if scope not in self._scopes:
            raise ScopeGone(f"the scope {scope!r} is not there any more", path=scope)
        return MemoryJournalLock(self._scopes[scope], member, records)

    def tidy(self, scope: str | None = None) -> list[tuple[str, OSError]]:
        """Nothing is ever left, of any."""
        del scope
        return []


class MemoryJournalLock:
    """A member's own journal; see `JournalLock`."""

    def __init__(self, scope: _ScopeInMemory, member: str, records: bytes) -> None:
        self.member = member
        self._scope = scope
        scope.journals[member] = bytearray(records)
        scope.journal_locks[member] = self

    @property
    def lost(self) -> bool:
        """Whether it is held no more."""
        return self._scope.journal_locks.get(self.member) is not self

    def append(self, records: bytes) -> None:
        """Add to the journal."""
        if self.lost:
            raise ScopeGone(f"the journal of {self.member} is not ours any more", path=self.member)
        self._scope.journals[self.member] += records

    def read(self) -> bytes:
        """All that stands in it."""
        return bytes(self._scope.journals[self.member])

    def size(self) -> int:
        """How much stands in it."""
        return len(self._scope.journals[self.member])

    def fileno(self) -> int:
        """There is none."""
        raise OSError("a scope in memory has no descriptors")

    def inherit(self) -> None:
        """Nothing: no other process comes here."""

    def give_up(self) -> None:
        """Free it."""
        self.close()

    def close(self) -> None:
        """Give it up."""
        if not self.lost:
            del self._scope.journal_locks[self.member]


class MemoryLock:
    """A further lock in a scope; see `Lock`."""

    def __init__(self, scope: _ScopeInMemory, name: str) -> None:
        self._scope = scope
        self._name = name
        scope.locks.add(name)

    def give_up(self) -> None:
        """Free it."""
        self._scope.locks.discard(self._name)


class LockedMemory:
    """A scope that this thread holds; see `LockedScope`."""

    def __init__(self, backend: MemoryBackend, name: str) -> None:
        self._backend = backend
        self._name = name
        self._scope = backend._scopes[name]

    def __enter__(self) -> LockedMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend._lock.release()

    def let_go(self) -> None:
        """Let other threads have it."""
        self._backend._lock.release()

    def take_again(self, deadline: Deadline) -> bool:
        """Hold it as before; false if it is not there any more."""
        left = deadline.left()
        if not self._backend._lock.acquire(timeout=-1 if left is None else left):
            raise ScopeBusy(f"the scope {self._name!r} is held by another thread", path=self._name)
        return self._backend._scopes.get(self._name) is self._scope

    def take(self, name: str) -> MemoryLock | None:
        """A further lock in this scope."""
        return None if self.is_taken(name) else MemoryLock(self._scope, name)

    def is_taken(self, name: str) -> bool:
        """Whether another thread has that lock."""
        return name in self._scope.locks

    def size(self, member: str) -> int:
        """How much stands in its journal."""
        return len(self._scope.journals.get(member, b""))

    def members(self) -> list[str]:
        """The tokens of all that have a journal here."""
        return list(self._scope.journals)

    def is_held(self, member: str) -> bool:
        """Whether somebody holds the lock of this member's journal."""
        return member in self._scope.journal_locks

    def publish(self, member: str, records: bytes) -> MemoryJournalLock:
        """A journal of one's own in this scope."""
        return MemoryJournalLock(self._scope, member, records)

    def read(self, member: str) -> bytes:
        """All that stands in its journal."""
        return bytes(self._scope.journals[member])

    def append(self, member: str, records: bytes) -> None:
        """Add to the journal of another member."""
        self._scope.journals[member] += records

    def forget(self, member: str) -> None:
        """Remove the journal of a member that is gone."""
        self._scope.journals.pop(member, None)
        self._scope.journal_locks.pop(member, None)

    def sweep(self) -> OSError | None:
        """Remove the scope."""
        del self._backend._scopes[self._name]
        self._scope.journals.clear()
        self._scope.journal_locks.clear()
        return None
