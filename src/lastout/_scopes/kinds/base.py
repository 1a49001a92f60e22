"""Kind: what a kind of artifact answers; each one is a class in a file of its own.

    before the record     objects of one process       adopt(...) -> Recipe, whose create() makes it
    after the record      location and data, as JSON   clean, forget, size, describe: in any process

A recipe has checked and named everything, and made nothing.  It is recorded before its `create`
is called, so whoever is killed in between leaves a record of something that is not there yet.

Tested by: tests/shared/test_kinds.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

    from ...deadline import Deadline

    BuiltInKind: TypeAlias = Literal[
        "directory",
        "file",
        "socket",
        "shared_memory",
        "semaphore",
        "popen",
        "command",
        "callback",
        "url",
        "message_queue",
        "sysv",
        "mount",
        "container",
    ]
    Thing = TypeVar("Thing", covariant=True)
else:

    class _UntypedGeneric:  # `typing` loads slowly, and only types need its own
        def __class_getitem__(cls, _: object) -> type:
            return cls

    Generic, Thing = _UntypedGeneric, None


AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Data = Mapping[str, "Any"]  # what JSON can hold, by names
LONGEST: Final = 60.0  # seconds: one cleanup that hangs must not hold up the scope for ever


class Recipe(Generic[Thing]):
    """How something is recorded, and then made.

    Attributes:
        location: what or where it is; with the kind it names the thing.  An absolute path
            lies in its directory, and is cleaned before that.
        data: what else has to be known to clean it, as JSON gives it back.  What runs in a
            directory has that as `"cwd"`, and is cleaned before it.
        create: makes the thing, and says what the user gets and which data are known only
            now; called when the rest is recorded.  If it raises an `Exception` it has left
            nothing behind.  `None`: the thing is there already, or there is nothing to make.
    """

    # Whether any machine may clean it will be a fact of the record, `anywhere`, and stand here.
    __slots__ = ("create", "data", "location")

    def __init__(
        self,
        location: str,
        data: Data | None = None,
        create: Callable[[], tuple[Thing, Data]] | None = None,
    ) -> None:
        self.location = location
        self.data: Data = data or {}
        self.create = create

    def __repr__(self) -> str:
        create = f", create={self.create!r}" if self.create else ""
        return f"Recipe({self.location!r}, {self.data!r}{create})"


class Size:
    """The size of an artifact in bytes; `complete` is false if there may be more."""

    __slots__ = ("bytes", "complete")

    def __init__(self, bytes: int, complete: bool = True) -> None:  # noqa: A002  (its name)
        self.bytes = bytes
        self.complete = complete

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Size):
            return NotImplemented
        return (self.bytes, self.complete) == (other.bytes, other.complete)

    def __hash__(self) -> int:
        return hash((self.bytes, self.complete))

    def __repr__(self) -> str:
        return f"Size({self.bytes}, complete={self.complete})"


class Kind:
    """How one kind of artifact is cleaned, from its record alone.

    Its maker may be dead, and its record may come from a former version, so a kind reads all
    data that it ever wrote.  There is one object of each kind in a process.

    Attributes:
        name: what journals call it.
        at_path: whether it is found at its location, an absolute path; then its `Artifact` is an
            `os.PathLike`.
        repeatable: whether `clean` is quick, and harmless a second time, because it looks
            before it removes.  Many in a row then share one line in the journal, and the
            limit of the first.
        contains: whether other artifacts may lie in it, below its location; they go first.
        ends_processes: whether cleaning it ends processes, which may be members of the scope.
        may_need_scope: whether cleaning it waits for others: processes, calls, the network.
            The scope is let go of meanwhile; else nobody can join or leave until it is clean.
    """

    name: str
    at_path: bool = False
    repeatable: bool = False
    contains: bool = False
    ends_processes: bool = False
    may_need_scope: bool = False

    def limit(self, data: Data) -> float | None:
        """Seconds that cleaning it may take; `None` if `clean` sees to that itself."""
        return LONGEST

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Remove it; one that is gone already is fine.

        It can be interrupted anywhere, and is called again then.

        Args:
            location: what or where it is, as it was recorded.
            data: what its recipe said of it, and its `create`, if it came to that.
            deadline: by when it has to be over.

        Raises:
            Exception: it could not be removed, and stays recorded.  `ArtifactReplaced` where
                something else is in its place, which is left alone.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define clean(location, data, deadline)"
        )

    def forget(self, location: str, data: Data) -> None:
        """Let go of what this process holds for it: it is kept, and nobody will clean it."""

    def size(self, location: str, data: Data) -> Size | None:
        """How big it is; `None` if it has no size, or is not there."""
        return None

    def describe(self, location: str, data: Data) -> str:
        """What it is, for people, in one line."""
        return location

    def ends(self, location: str, data: Data, processes: Collection[int]) -> bool:
        """Whether cleaning it ends one of these processes, by their pids.

        Asked of kinds that end processes: whoever would be ended must not wait for that.
        """
        return False


class Trackable(Kind):
    """A kind of which something can be handed to a scope by `Scope.track`."""

    def adopt(self, location: AnyPath, /, *args: Any, **options: Any) -> Recipe[Any]:
        """Say how something is recorded, and made if it is not there yet.

        Everything is checked here, and nothing made.

        Args:
            location: what or where it is, as the user said it.
            args: none; a kind names the options that it has.
            options: what else the user said.

        Raises:
            ArtifactMissing: nothing is there.
            UsageError: it is not of this kind, or cannot be had so.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define adopt(location, /, **options)"
        )
