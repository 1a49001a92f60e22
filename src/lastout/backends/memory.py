"""Members that meet in memory: the reference that tests compare other backends with.

This backend works within one process.  To drop a journal lock is to kill its member.

Tested by: tests/backends/test_base.py
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
        """The names of the existing scopes."""
        return sorted(self._scopes)

    def lock_scope(
        self, scope: str, deadline: Deadline, create: bool = False
    ) -> LockedMemory | None:
        """Lock a scope; see `Backend`."""
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
        """Make the journal of a new member; see `Backend`."""
        if scope not in self._scopes:
            raise ScopeGone(f"the scope {scope!r} is not there any more", path=scope)
        return MemoryJournalLock(self._scopes[scope], member, records)

    def tidy(self, scope: str | None = None) -> list[tuple[str, OSError]]:
        """Do nothing, because a sweep in memory leaves no remains."""
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
        """Whether the member does not hold its journal any more."""
        return self._scope.journal_locks.get(self.member) is not self

    def append(self, records: bytes) -> None:
        """Append to the journal."""
        if self.lost:
            raise ScopeGone(f"the journal of {self.member} is not ours any more", path=self.member)
        self._scope.journals[self.member] += records

    def read(self) -> bytes:
        """The content of the journal."""
        return bytes(self._scope.journals[self.member])

    def size(self) -> int:
        """The size of the journal."""
        return len(self._scope.journals[self.member])

    def fileno(self) -> int:
        """Raise `OSError`, because a journal in memory has no descriptor."""
        raise OSError("a scope in memory has no descriptors")

    def inherit(self) -> None:
        """Do nothing, because no other process shares this backend."""

    def give_up(self) -> None:
        """Unlock the journal."""
        self.close()

    def close(self) -> None:
        """Unlock the journal."""
        if not self.lost:
            del self._scope.journal_locks[self.member]


class MemoryLock:
    """A further lock in a scope; see `Lock`."""

    def __init__(self, scope: _ScopeInMemory, name: str) -> None:
        self._scope = scope
        self._name = name
        scope.locks.add(name)

    def give_up(self) -> None:
        """Unlock it."""
        self._scope.locks.discard(self._name)


class LockedMemory:
    """A scope that this thread has locked; see `LockedScope`."""

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
        """Unlock the scope for other threads, until `take_again`."""
        self._backend._lock.release()

    def take_again(self, deadline: Deadline) -> bool:
        """Lock the scope again; `False` if the scope does not exist any more."""
        left = deadline.left()
        if not self._backend._lock.acquire(timeout=-1 if left is None else left):
            raise ScopeBusy(f"the scope {self._name!r} is held by another thread", path=self._name)
        return self._backend._scopes.get(self._name) is self._scope

    def take(self, name: str) -> MemoryLock | None:
        """Take a further lock in this scope; `None` if it is taken."""
        return None if self.is_taken(name) else MemoryLock(self._scope, name)

    def is_taken(self, name: str) -> bool:
        """Whether the further lock of this name is taken."""
        return name in self._scope.locks

    def size(self, member: str) -> int:
        """The size of a member's journal."""
        return len(self._scope.journals.get(member, b""))

    def members(self) -> list[str]:
        """The tokens of all members with a journal in this scope."""
        return list(self._scope.journals)

    def is_held(self, member: str) -> bool:
        """Whether this member's journal is locked."""
        return member in self._scope.journal_locks

    def publish(self, member: str, records: bytes) -> MemoryJournalLock:
        """Make the journal of a new member; see `LockedScope`."""
        return MemoryJournalLock(self._scope, member, records)

    def read(self, member: str) -> bytes:
        """The content of a member's journal."""
        return bytes(self._scope.journals[member])

    def append(self, member: str, records: bytes) -> None:
        """Append to the journal of another member."""
        self._scope.journals[member] += records

    def forget(self, member: str) -> None:
        """Remove the journal of a member that has ended."""
        self._scope.journals.pop(member, None)
        self._scope.journal_locks.pop(member, None)

    def sweep(self) -> OSError | None:
        """Remove the scope."""
        del self._backend._scopes[self._name]
        self._scope.journals.clear()
        self._scope.journal_locks.clear()
        return None
