"""Table: all kinds by their names, their flags without loading them, and what packages bring.

    name --> in the table?    its file, loaded on first use
             else             the entry point of that name, group `lastout.kinds`

Most programs have files and directories only, so nothing but these is loaded with the table, nor
to know what is special about the others.  Entry points are asked only
for names that the table does not have: `importlib.metadata` takes 50 ms.

Tested by: tests/shared/test_cleaners.py, tests/shared/test_bad_input.py
"""

from __future__ import annotations

from copy import copy

from ..._platform.imports import load
from ...deadline import check_seconds
from ...errors import CleanupFailed, UnknownKind
from . import base, directory, file, socket  # noqa: F401  (when one is to go it may be too late)
from .base import Kind, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Final, TypeVar

    from ...deadline import Deadline
    from .base import BuiltInKind, Data, Size

    Answer = TypeVar("Answer")


class KindFlags:
    """What has to be known of a kind without loading it; see `Kind`."""

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
    """A kind of lastout's own: its class, in the file of the kind's name."""

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
        UnknownKind: there is none, here and now.
        UnusableKind: a package brings it, but it cannot be used.
        ImportError, OSError: one of lastout's own cannot be loaded.
    """
    kind = _found.get(name)
    if kind is None:
        kind = _found.setdefault(name, _load(name))
    return kind


def make_ready(name: BuiltInKind) -> None:
    """Load one of lastout's own kinds while no other thread forks: its file can be imported now.

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
    raise copy(_missing[name])  # a scope may have many of them, and looking takes long


def flags(name: str) -> KindFlags:
    """What is special about a kind; nothing if it is not to be had."""
    row = TABLE.get(name)
    if row is not None:
        return row.flags
    return _answer(
        name,
        lambda kind: KindFlags(**{flag: bool(getattr(kind, flag)) for flag in KindFlags.__slots__}),
        KindFlags(),
    )


def clean(name: str, location: str, data: Data, deadline: Deadline) -> None:
    """Remove one artifact; one that is gone already is fine.

    Args:
        name: its kind.
        location: what or where it is, as its maker recorded it.
        data: the facts that its maker recorded, before and after it was made.
        deadline: by when it has to be over.

    Raises:
        UnknownKind: it was recorded by a newer version, or by a package that is not here.
        ArtifactReplaced: something else is there now; it was left alone.
        CleanupFailed: it cannot be removed, or only in part.
        CleanupTimeout: it was not removed in time.
        OSError: the system does not let us remove it.
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
    """It will not be cleaned by us: let go of what this process holds for it."""
    kind = _found.get(name)  # what was never used here holds nothing here
    if kind is not None:
        kind.forget(location, data)


def limit(name: str, data: Data) -> float | None:
    """Seconds that cleaning one may take; `None` if it has a limit of its own."""
    longest: float | None = base.LONGEST
    return _answer(name, lambda kind: check_seconds(kind.limit(data), "limit"), longest)


def size(name: str, location: str, data: Data) -> Size | None:
    """How big it is; `None` if it has no size, or is not there."""
    return _answer(name, lambda kind: kind.size(location, data), None)


def describe(name: str, location: str, data: Data) -> str:
    """What it is, for people, in one line."""
    try:  # not by `_answer`: it is asked for each thing that is cleaned
        return str(find(name).describe(location, data))
    except Exception:
        return location


def ends(name: str, location: str, data: Data, processes: Collection[int]) -> bool:
    """Whether cleaning it ends one of these processes."""
    return flags(name).ends_processes and _answer(
        name, lambda kind: kind.ends(location, data, processes), False
    )


def trackable() -> list[str]:
    """The names of lastout's own kinds that can be handed to a scope."""
    return sorted(name for name in KINDS if isinstance(find(name), Trackable))


def _answer(name: str, ask: Callable[[Kind], Answer], otherwise: Answer) -> Answer:
    """What a kind says; one that fails, or is not to be had, holds up nobody: `clean` tells."""
    try:
        return ask(find(name))
    except Exception:
        return otherwise
