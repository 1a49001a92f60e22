"""The table of kinds: finds a kind by its name, and knows the flags of kinds without loading them.

    name --> in the table?    its file, loaded on first use
             else             the entry point of that name, group `lastout.kinds`

Only the kinds `directory`, `file` and `socket` are loaded with the table, because most programs
use no further kinds.
Entry points are read only for names that the table does not have, because
`importlib.metadata` takes 50 ms.

Tested by: tests/shared/test_cleaners.py, tests/shared/test_bad_input.py
"""

from __future__ import annotations

from copy import copy

from ..._platform.imports import load
from ...deadline import check_seconds
from ...errors import CleanupFailed, UnknownKind
from . import base, directory, file, socket  # noqa: F401  (now, as a later import may fail)
from .base import Kind, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Final, TypeVar

    from ...deadline import Deadline
    from .base import BuiltInKind, Data, Size

    Answer = TypeVar("Answer")


class KindFlags:
    """The properties of a kind that are needed without loading it; see `Kind`."""

    __slots__ = ("at_path", "contains", "ends_processes", "may_need_scope", "repeatable")

    def __init__(
        self,
        *,
        at_path: bool = False,
        repeatable: bool = False,
        contains: bool = False,
        ends_processes: bool = False,
        may_need_scope: bool = False,
    ) -> None:
        self.at_path = at_path
        self.repeatable = repeatable
        self.contains = contains
        self.ends_processes = ends_processes
        self.may_need_scope = may_need_scope


class BuiltIn:
    """A kind of lastout's own, with its class in a module of the kind's name."""

    __slots__ = ("class_name", "flags", "needs_logging")

    def __init__(self, class_name: str, flags: KindFlags, needs_logging: bool = False) -> None:
        self.class_name = class_name
        self.flags = flags
        self.needs_logging = needs_logging


_WAITS: Final = KindFlags(may_need_scope=True)
_FILE: Final = KindFlags(at_path=True, repeatable=True)
_NAMED: Final = KindFlags(repeatable=True)

TABLE: Final[dict[str, BuiltIn]] = {
    "directory": BuiltIn("DirectoryKind", KindFlags(at_path=True, repeatable=True, contains=True)),
    "file": BuiltIn("FileKind", _FILE),
    "socket": BuiltIn("SocketKind", _FILE),
    "shared_memory": BuiltIn("SharedMemoryKind", _NAMED),
    "semaphore": BuiltIn("SemaphoreKind", _NAMED),
    "popen": BuiltIn("PopenKind", KindFlags(ends_processes=True, may_need_scope=True)),
    "command": BuiltIn("CommandKind", _WAITS),
    "callback": BuiltIn("CallbackKind", _WAITS, needs_logging=True),
    "container": BuiltIn("ContainerKind", _WAITS),
    "url": BuiltIn("UrlKind", _WAITS),
    "message_queue": BuiltIn("MessageQueueKind", _NAMED),
    "sysv": BuiltIn("SysvKind", _NAMED),
    "mount": BuiltIn("MountKind", KindFlags(at_path=True, contains=True, may_need_scope=True)),
}
KINDS: Final = frozenset(TABLE)

_found: dict[str, Kind] = {}
_missing: dict[str, UnknownKind] = {}


def find(name: str) -> Kind:
    """The kind of that name, loaded on first use.

    Raises:
        UnknownKind: neither lastout nor an installed package has it.
        UnusableKind: a package provides it, but it cannot be used.
        ImportError, OSError: a kind of lastout's own cannot be loaded.
    """
    kind = _found.get(name)
    if kind is None:
        kind = _found.setdefault(name, _load(name))
    return kind


def make_ready(name: BuiltInKind) -> None:
    """Load a kind of lastout's own while no other thread forks, so that its module can be imported.

    Raises:
        ImportError, OSError: it cannot be loaded.
    """
    find(name)


def _load(name: str) -> Kind:
    row = TABLE.get(name)
    if row is not None:
        own: Kind = getattr(load(f"{__package__}.{name}", row.needs_logging), row.class_name)()
        return own
    if name not in _missing:
        outside = load(f"{__package__}.entry_points", needs_logging=True)
        try:
            brought: Kind = outside.find(name, KINDS)
            return brought
        except UnknownKind as error:
            _missing[name] = copy(error)  # without its traceback, which holds frames
    # Kept, because a scope may have many artifacts of such a kind, and a search takes long.
    raise copy(_missing[name])


def flags(name: str) -> KindFlags:
    """The flags of a kind; all false if the kind cannot be loaded."""
    row = TABLE.get(name)
    if row is not None:
        return row.flags
    return _answer(
        name,
        lambda kind: KindFlags(**{flag: bool(getattr(kind, flag)) for flag in KindFlags.__slots__}),
        KindFlags(),
    )


def clean(name: str, location: str, data: Data, deadline: Deadline) -> None:
    """Remove an artifact; do nothing if it is gone already.

    Args:
        name: the kind of the artifact.
        location: the recorded location.
        data: the recorded data, from before and after the artifact was made.
        deadline: the time by which the call has to return.

    Raises:
        UnknownKind: a newer version recorded it, or a package that is not installed here.
        ArtifactReplaced: its place is taken by something else, which was left alone.
        CleanupFailed: it cannot be removed, or only in part.
        CleanupTimeout: it was not removed in time.
        OSError: the system refused to remove it.
    """
    try:
        find(name).clean(location, data, deadline)
    except SystemExit as error:
        raise CleanupFailed(
            f"the {name} {location!r} was not cleaned: its kind ended with status {error.code}",
            kind=name,
            location=location,
        ) from error


def forget(name: str, location: str, data: Data) -> None:
    """Drop the objects that this process holds for an artifact, which it will not clean."""
    kind = _found.get(name)  # a kind that was never used here holds no objects here
    if kind is not None:
        kind.forget(location, data)


def limit(name: str, data: Data) -> float | None:
    """Seconds that cleaning an artifact may take; `None` if its kind enforces a limit itself."""
    longest: float | None = base.LONGEST
    return _answer(name, lambda kind: check_seconds(kind.limit(data), "limit"), longest)


def size(name: str, location: str, data: Data) -> Size | None:
    """The size of an artifact; `None` if it has no size, or does not exist."""
    return _answer(name, lambda kind: kind.size(location, data), None)


def describe(name: str, location: str, data: Data) -> str:
    """A line that describes an artifact to people."""
    try:  # not by `_answer`, because every cleanup calls this
        return str(find(name).describe(location, data))
    except Exception:
        return location


def ends(name: str, location: str, data: Data, processes: Collection[int]) -> bool:
    """Whether cleaning an artifact ends any of these processes."""
    return flags(name).ends_processes and _answer(
        name, lambda kind: kind.ends(location, data, processes), False
    )


def trackable() -> list[str]:
    """The names of lastout's own kinds that can be handed to a scope."""
    return sorted(name for name in KINDS if isinstance(find(name), Trackable))


def _answer(name: str, ask: Callable[[Kind], Answer], otherwise: Answer) -> Answer:
    """The answer of a kind, or `otherwise` if it fails, because `clean` will report the error."""
    try:
        return ask(find(name))
    except Exception:
        return otherwise
