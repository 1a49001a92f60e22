"""The protocol of a backend, where members meet: it provides names, bytes and locks.

    Backend --lock_scope(scope)--> LockedScope: one at a time; reads and changes journals
       `----publish(member)--> JournalLock: the member's own journal, whose lock says "alive"

`local` implements it in a directory; `memory` is the reference that tests compare it with.

Tested by: tests/backends/test_base.py
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol

    from ..deadline import Deadline

    class JournalLock(Protocol):
        """A member's own journal, to which it appends, locked for as long as the member lives."""

        @property
        def member(self) -> str:
            """The token of the member."""
            ...

        @property
        def lost(self) -> bool:
            """Whether the lock is lost without `give_up`, so the member may be taken for dead."""
            ...

        def append(self, records: bytes) -> None:
            """Append to the journal; raises `SystemRefused` if not all bytes were written."""
            ...

        def read(self) -> bytes:
            """The content of the journal."""
            ...

        def size(self) -> int:
            """The size of the journal, in bytes."""
            ...

        def fileno(self) -> int:
            """The descriptor that holds the lock, to be passed to another program."""
            ...

        def inherit(self) -> None:
            """Keep the journal open in this forked child, for which the parent made it."""
            ...

        def close(self) -> None:
            """Close the journal in this process; a further process that has it keeps the lock."""
            ...

        def give_up(self) -> None:
            """Unlock the journal in every process, because this member is not alive any more."""
            ...

    class Lock(Protocol):
        """A further lock in a scope, which stays locked while the scope is let go of."""

        def give_up(self) -> None:
            """Unlock it in every process that has it open."""
            ...

    class LockedScope(Protocol):
        """A scope that no other process can join, leave or clean meanwhile."""

        def __enter__(self) -> LockedScope: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

        def let_go(self) -> None:
            """Unlock the scope for other processes, until `take_again`."""
            ...

        def take_again(self, deadline: Deadline) -> bool:
            """Lock the scope again; `False` if the scope does not exist any more.

            Raises:
                ScopeBusy: another process held it until the deadline.
            """
            ...

        def take(self, name: str) -> Lock | None:
            """Take a further lock in this scope; `None` if another process has it."""
            ...

        def is_taken(self, name: str) -> bool:
            """Whether another process has the further lock of this name."""
            ...

        def members(self) -> list[str]:
            """The tokens of all members with a journal in this scope."""
            ...

        def is_held(self, member: str) -> bool:
            """Whether a process holds the lock of this member's journal."""
            ...

        def read(self, member: str) -> bytes:
            """The content of a member's journal; raises `RootRefused` if it is another user's."""
            ...

        def size(self, member: str) -> int:
            """The size of a member's journal, in bytes; -1 if unknown."""
            ...

        def publish(self, member: str, records: bytes) -> JournalLock:
            """As `Backend.publish`, in this scope."""
            ...

        def append(self, member: str, records: bytes) -> None:
            """Append to the journal of another member."""
            ...

        def forget(self, member: str) -> None:
            """Remove the journal of a member that has ended and has nothing left to clean."""
            ...

        def sweep(self) -> OSError | None:
            """Remove the scope, which has no members and no artifacts left.

            Returns:
                `None`, or the reason why the remains of the removed scope could not be deleted.
            """
            ...

    class Backend(Protocol):
        """A place with scopes in it."""

        @property
        def place(self) -> str:
            """The address of the place, such as the path of a directory."""
            ...

        def scopes(self) -> list[str]:
            """The names of the existing scopes."""
            ...

        def lock_scope(
            self, scope: str, deadline: Deadline, create: bool = False
        ) -> LockedScope | None:
            """Lock a scope; `None` if it does not exist and is not to be created.

            Raises:
                ScopeBusy: another process had it locked until the deadline.
                RootRefused, SystemRefused: it cannot be used.
            """
            ...

        def publish(self, scope: str, member: str, records: bytes) -> JournalLock:
            """Make a journal that begins with `records` and is seen only once it is locked.

            To be called while the scope is locked, or by a living member.
            """
            ...

        def tidy(self, scope: str | None = None) -> list[tuple[str, OSError]]:
            """Delete the remains of scopes whose sweep was killed, of this scope or of all.

            Returns:
                For each scope with remains that could not be deleted its name, and the reason.
            """
            ...
