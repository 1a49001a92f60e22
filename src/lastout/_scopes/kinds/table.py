"""Cleaners: for each kind of artifact, how it is removed.

    kind + location + what its maker wrote down  ->  clean()  ->  gone, or an error

A cleaner knows an artifact from the record alone: whoever made it may be dead.
What is gone already is clean.  What is there but is not what was recorded is
left alone and reported.  Each one can be interrupted anywhere and called again.
"""

from __future__ import annotations

import os

from ..._platform.imports import load
from ...errors import UnknownKind
from .directory import clean_directory
from .paths import check_same

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from ...deadline import Deadline

    Cleaner = Callable[[str, Mapping[str, Any], Deadline], None]


def clean(kind: str, location: str, data: Mapping[str, Any], deadline: Deadline) -> None:
    """Remove one artifact; one that is gone already is fine.

    Args:
        kind: one of `KINDS`.
        location: what or where it is, as its maker recorded it.
        data: the facts that its maker recorded, before and after it was made.
        deadline: by when it has to be over.

    Raises:
        UnknownKind: it was recorded by a newer version.
        ArtifactReplaced: something else is there now; it was left alone.
        CleanupFailed: it cannot be removed, or only in part.
        CleanupTimeout: it was not removed in time.
        OSError: the system does not let us remove it.
    """
    cleaner = _CLEANERS.get(kind)
    if cleaner is None:
        raise UnknownKind(
            f"this version of lastout cannot clean a {kind!r} ({location!r}), only"
            f" {', '.join(sorted(KINDS))}; clean it with the version that recorded it",
            kind=kind,
        )
    cleaner(location, data, deadline)


def _clean_file(location: str, data: Mapping[str, Any], _: Deadline) -> None:
    _unlink("file", location, data)


def _clean_socket(location: str, data: Mapping[str, Any], _: Deadline) -> None:
    _unlink("socket", location, data)


def _in_file(file: str, name: str, needs_logging: bool = False) -> Cleaner:
    """A cleaner in a file of its own that is opened on first use: it loads a lot."""

    def clean(location: str, data: Mapping[str, Any], deadline: Deadline) -> None:
        cleaner: Cleaner = getattr(load(f"{__package__}.{file}", needs_logging), name)
        cleaner(location, data, deadline)

    return clean


def _unlink(kind: str, location: str, data: Mapping[str, Any]) -> None:
    # One lstat and one unlink: a scope may have tens of thousands of them.
    try:
        check_same(kind, location, data, os.lstat(location))
        os.unlink(location)
    except (FileNotFoundError, NotADirectoryError):
        return  # gone, or the directory that it was in is


_CLEANERS: Final[dict[str, Cleaner]] = {
    "directory": clean_directory,
    "file": _clean_file,
    "socket": _clean_socket,
    "shared_memory": _in_file("shared_memory", "clean_shared_memory"),
    "semaphore": _in_file("shared_memory", "clean_semaphore"),
    "popen": _in_file("popen", "clean_popen"),
    "command": _in_file("command", "clean_command"),
    "callback": _in_file("callback", "clean_callback", needs_logging=True),
}

KINDS: Final = frozenset(_CLEANERS)
