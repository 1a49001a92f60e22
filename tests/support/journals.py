"""One scope of a backend: what is in it, and members whose journals the test writes itself.

ObservedScope    what is recorded in a scope, seen without being a member
  WrittenScope   writes the journals of members, locked or not, and reaps them
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lastout._identity import Identity
from lastout._scopes.reaping import reaper
from lastout._scopes.records import journal
from lastout._scopes.records.scope_lock import ScopeRef
from lastout._scopes.records.survey import ScopeSurvey
from lastout.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lastout.backends.base import Backend, JournalLock, LockedScope

NAME = "s"
DEAD = Identity(None)


def made(
    number: int,
    location: str,
    kind: str = "file",
    after: Iterable[str] = (),
    *,
    ns: int = 0,
    lifetime: str = "scope",
    data: Mapping[str, Any] | None = None,
) -> bytes:
    """The record of an artifact."""
    return journal.made(ns or number, number, kind, location, lifetime, after, data or {})


class ObservedScope:
    """A scope of a backend, seen without being a member."""

    def __init__(self, backend: Backend, name: str = NAME) -> None:
        self.backend = backend
        self.ref = ScopeRef(backend, name)

    @contextmanager
    def surveyed(self) -> Iterator[ScopeSurvey | None]:
        """What is recorded in it; `None` if it does not exist."""
        with self.ref.lock() as held:
            yield ScopeSurvey(held, self.ref.path) if held else None


class WrittenScope(ObservedScope):
    """A scope whose journals the test writes, with a cleaner that only notes what it did."""

    patience = 10.0  # seconds to wait for another thread that has locked the scope

    def __init__(self, backend: Backend, name: str = NAME) -> None:
        super().__init__(backend, name)
        self.cleaned: list[str] = []
        self.broken: set[str] = set()
        self.journal_locks: dict[str, JournalLock] = {}
        self._clock = 0

    def hold(self) -> LockedScope:
        held = self.backend.lock_scope(self.ref.name, Deadline(self.patience), create=True)
        assert held is not None
        return held

    def member(self, token: str, *records: bytes, who: Identity | None = DEAD) -> str:
        """A member that holds the lock of its journal, until `kill`."""
        joined = journal.join(self.tick(), who) if who else b""
        with self.hold() as held:
            start = b"".join([journal.header(token), joined, *records])
            self.journal_locks[token] = held.publish(token, start)
        return token

    def unlocked(self, token: str, *records: bytes, who: Identity | None = DEAD) -> None:
        """A member without its lock: dead, unless its process lives."""
        self.kill(self.member(token, *records, who=who))

    def kill(self, member: str) -> None:
        self.journal_locks.pop(member).close()

    def tick(self) -> int:
        self._clock += 1
        return self._clock

    def made(self, member: str, location: str, number: int = 0, **options: Any) -> str:
        """One more artifact of a member; its id."""
        number = number or self.tick()
        self.journal_locks[member].append(made(number, location, ns=self.tick(), **options))
        return f"{member}.{number}"

    def clean(self, kind: str, location: str, data: Mapping[str, Any], deadline: Deadline) -> None:
        if location in self.broken:
            raise OSError(f"cannot clean {location}")
        self.cleaned.append(location)

    def reap(self, **options: Any) -> reaper.Reaped:
        with self.hold() as held:
            return reaper.reap(held, self.ref.path, self.clean, Deadline(), **options)
