"""What a place where members meet must be able to do: names, bytes and locks, no more.

    Backend --lock_scope(scope)--> LockedScope: one at a time; looks at members, cleans after them
       `----publish(member)--> JournalLock: a journal of one's own, whose lock says "alive"

`local` does it in a directory; `memory` is the reference that tests compare it with.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol

    from ..deadline import Deadline

    class JournalLock(Protocol):
        """A member's own journal, which it alone may add to, held for as long as it lives."""

        @property
        def member(self) -> str:
            """Whose it is."""
            ...

        @property
        def lost(self) -> bool:
            """Whether it is held no more, though nobody gave it up: others may think us dead."""
            ...

        def append(self, records: bytes) -> None:
            """Add to the journal; raises `SystemRefused` if they are not there in whole."""
            ...

        def read(self) -> bytes:
            """All that stands in the journal."""
            ...

        def size(self) -> int:
            """How much stands in the journal, in bytes."""
            ...

        def fileno(self) -> int:
            """The descriptor that holds it, to be passed to another program."""
            ...

        def inherit(self) -> None:
            """In a forked child: the parent made it for us; it stays open here."""
            ...

        def close(self) -> None:
            """Let go of it here: another process that has it too still holds it."""
            ...

        def give_up(self) -> None:
            """Free it for good, whoever has it: this member is not alive any more."""
            ...

    class Lock(Protocol):
        """A further lock in a scope, which lasts while the scope is let go of."""

        def give_up(self) -> None:
            """Free it, whoever has it open."""
            ...

    class LockedScope(Protocol):
        """A scope that nobody else can join, leave or clean meanwhile."""

        def __enter__(self) -> LockedScope: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

        def let_go(self) -> None:
            """Let others have the scope, until it is taken again."""
            ...

        def take_again(self, deadline: Deadline) -> bool:
            """Hold it as before; false if it is not there any more.

            Raises:
                ScopeBusy: another process held it until the deadline.
            """
            ...

        def take(self, name: str) -> Lock | None:
            """A further lock in this scope, of that name; `None` if another one has it."""
            ...

        def is_taken(self, name: str) -> bool:
            """Whether another one has that lock."""
            ...

        def members(self) -> list[str]:
            """The tokens of all that have a journal here."""
            ...

        def is_held(self, member: str) -> bool:
            """Whether somebody holds the lock of this member's journal."""
            ...

        def read(self, member: str) -> bytes:
            """All that stands in its journal; raises `RootRefused` if that is not one of ours."""
            ...

        def size(self, member: str) -> int:
            """How much stands in its journal, in bytes; -1 if that cannot be told."""
            ...

        def publish(self, member: str, records: bytes) -> JournalLock:
            """As `Backend.publish`, in this scope."""
            ...

        def append(self, member: str, records: bytes) -> None:
            """Add to the journal of another member."""
            ...

        def forget(self, member: str) -> None:
            """Remove the journal of a member that is gone, with nothing left to clean."""
            ...

        def sweep(self) -> OSError | None:
            """Remove the scope: nobody is left in it, and nothing.

            Afterwards it is gone; why its remains could not be deleted, if so.
            """
            ...

    class Backend(Protocol):
        """A place with scopes in it."""

        @property
        def place(self) -> str:
            """Where it is."""
            ...

        def scopes(self) -> list[str]:
            """The names of the scopes that there are."""
            ...

        def lock_scope(
            self, scope: str, deadline: Deadline, create: bool = False
        ) -> LockedScope | None:
            """The scope, locked; `None` if there is none and none is to be made.

            Raises:
                ScopeBusy: another process had it locked until the deadline.
                RootRefused, SystemRefused: it cannot be used.
            """
            ...

        def publish(self, scope: str, member: str, records: bytes) -> JournalLock:
            """Make a journal that begins with `records` and is seen only once it is held.

            To be called while the scope is locked, or by a living member.
            """
            ...

        def tidy(self, scope: str | None = None) -> list[tuple[str, OSError]]:
            """Remove what sweepers that were killed have left, of this scope or of all.

            What could not be removed, beside the name of the scope that it was.
            """
            ...
