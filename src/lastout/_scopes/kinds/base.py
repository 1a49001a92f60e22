"""Kind: the questions that a kind of artifact answers; each kind is a class in its own file.

    before the record     objects of one process       adopt(...) -> Recipe, whose create() makes it
    after the record      location and data, as JSON   clean, forget, size, describe: in any process

A recipe has checked and named everything, and made nothing.  It is recorded before its `create`
is called, so a process that is killed in between leaves the record of a thing that does not exist.

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
Data = Mapping[str, "Any"]  # values that JSON can hold, by name
LONGEST: Final = 60.0  # seconds, because a cleanup that hangs must not block the scope for ever


class Recipe(Generic[Thing]):
    """How something is recorded, and then made.

    Attributes:
        location: the name or path of the thing, unique within its kind.  An artifact with an
            absolute path lies in the directory above it, and is cleaned before that directory.
        data: further facts needed for cleaning, as JSON gives them back.  An artifact that runs
            in a directory names it as `"cwd"`, and is cleaned before that directory.
        create: makes the thing, and returns the object for the user and the data that are known
            only now; called when the rest is recorded.  If it raises an `Exception` it has left
            nothing behind.  `None`: the thing exists already, or there is nothing to make.
    """

    # Whether any machine may clean the artifact will be a fact of the record, `anywhere`, and an
    # attribute of this class.
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

    The process that made the artifact may be dead, and a former version may have written its
    record, so a kind reads all data that it ever wrote.  A process has one object of each kind.

    Attributes:
        name: the name of the kind in journals.
        at_path: whether an artifact is found at its location, an absolute path; then its
            `Artifact` is an `os.PathLike`.
        repeatable: whether `clean` is quick, and harmless a second time, because it looks
            before it removes.  Many in a row then share one line in the journal, and the
            limit of the first.
        contains: whether other artifacts may lie in it, below its location; they go first.
        ends_processes: whether cleaning it ends processes, which may be members of the scope.
        may_need_scope: whether cleaning waits for other processes, calls or the network.  The
            scope is unlocked meanwhile, because otherwise no process could join or leave.
    """

    name: str
    at_path: bool = False
    repeatable: bool = False
    contains: bool = False
    ends_processes: bool = False
    may_need_scope: bool = False

    def limit(self, data: Data) -> float | None:
        """Seconds that cleaning may take; `None` if `clean` enforces a limit itself."""
        return LONGEST

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Remove an artifact; do nothing if it is gone already.

        The call can be interrupted anywhere, and is then repeated.

        Args:
            location: the recorded location.
            data: the data of its recipe, and of its `create` if that returned.
            deadline: the time by which `clean` has to return.

        Raises:
            Exception: the artifact could not be removed, and stays recorded.  `ArtifactReplaced`
                if its place is taken by something else, which is left alone.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define clean(location, data, deadline)"
        )

    def forget(self, location: str, data: Data) -> None:
        """Drop the objects that this process holds for an artifact, because it is kept for good."""

    def size(self, location: str, data: Data) -> Size | None:
        """The size of an artifact; `None` if it has no size, or does not exist."""
        return None

    def describe(self, location: str, data: Data) -> str:
        """A line that describes an artifact to people."""
        return location

    def ends(self, location: str, data: Data, processes: Collection[int]) -> bool:
        """Whether cleaning an artifact ends any of these processes, by their pids.

        Asked of kinds that end processes, because a process that is about to be ended must not
        wait for the cleaning.
        """
        return False


class Trackable(Kind):
    """A kind whose artifacts can be handed to a scope by `Scope.track`."""

    def adopt(self, location: AnyPath, /, *args: Any, **options: Any) -> Recipe[Any]:
        """The recipe by which a thing is recorded, and made if it does not exist yet.

        Everything is checked here, and nothing made.

        Args:
            location: the name or path of the thing, as the user gave it.
            args: none; a kind names the options that it has.
            options: the keyword arguments that the user gave.

        Raises:
            ArtifactMissing: the thing does not exist.
            UsageError: it is not of this kind, or the options are invalid.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define adopt(location, /, **options)"
        )
