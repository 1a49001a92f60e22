"""Paths of artifacts: how they are recorded, and how an artifact is recognized at its path.

A path is recorded absolute and with the links above its last part resolved, so that it means
the same in every process, independent of working directories.  An artifact is recognized by
its type, owner, device and inode.

Tested by: tests/shared/test_paths.py, tests/shared/test_cleaners.py
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from ...errors import ArtifactExists, ArtifactMissing, ArtifactReplaced, UsageError
from .base import AnyPath, Recipe, Size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .base import Data

    IsType = Callable[[int], bool]  # a test of a mode, like `stat.S_ISREG`


def fresh_name(kind: str) -> str:
    """A random name, which cannot be guessed and is not in use."""
    return f"{kind}-{os.urandom(8).hex()}"


def new_path(kind: str, path: AnyPath | None, base: str) -> str:
    """The path at which to make an artifact, as recorded; a fresh path below `base` for `None`.

    Raises:
        ArtifactExists: the path exists already, if only as a dangling link.
        ArtifactMissing: its directory does not exist.
        UsageError: no file system can have this path.
    """
    location = resolve(kind, os.path.join(base, fresh_name(kind)) if path is None else path)
    if look(location) is not None:
        raise already_there(kind, location)
    parent = os.path.dirname(location)
    if not os.path.isdir(parent):
        raise ArtifactMissing(
            f"cannot make the {kind} {location!r}: there is no directory {parent!r}; make it first",
            kind=kind,
            location=location,
        )
    return location


def resolve(kind: str, path: AnyPath) -> str:
    """`path` absolute, undecodable bytes escaped, the links above its last part resolved."""
    try:
        text = os.fsdecode(path)
        parent, name = os.path.split(text.rstrip("/"))
        if name in ("", ".", ".."):
            location = os.path.realpath(text) if text else ""
        else:
            location = os.path.join(os.path.realpath(parent or "."), name)
        os.path.lexists(location)  # raises ValueError for a NUL or a lone surrogate
        os.fsencode(location)
        too_long = any(len(os.fsencode(part)) > 255 for part in location.split("/"))
    except ValueError as error:
        raise UsageError(f"{path!r} cannot be the path of a {kind}: {error}", kind=kind) from error
    if not location or "\0" in location or too_long:
        why = "a part of it is longer than 255 bytes" if too_long else "empty or with a NUL in it"
        raise UsageError(f"{path!r} cannot be the path of a {kind}: it is {why}", kind=kind)
    return location


def already_there(kind: str, location: str) -> ArtifactExists:
    """The error if an artifact that is to be made exists already."""
    return ArtifactExists(
        f"cannot make the {kind} {location!r}: something is there already; choose another name,"
        f" or hand it over as it is with track({kind!r}, ...)",
        kind=kind,
        location=location,
    )


def look(location: str) -> os.stat_result | None:
    """The `stat` of `location` itself, links not followed; `None` if it does not exist."""
    try:
        return os.lstat(location)
    except (FileNotFoundError, NotADirectoryError):
        return None


def facts(found: os.stat_result) -> dict[str, Any]:
    """The data by which a thing that was just made is recognized later."""
    return {"device": found.st_dev, "inode": found.st_ino}


@contextmanager
def or_without(remove: Callable[[str], object], location: str) -> Iterator[None]:
    """Remove what was just made if the block raises an `OSError`."""
    try:
        yield
    except OSError:
        remove(location)
        raise


def adopted(
    kind: str, location: str, found: os.stat_result | None, is_type: IsType
) -> Recipe[None]:
    """The recipe for a thing that exists already.

    Raises:
        ArtifactMissing: it does not exist.
        UsageError: it is not of that kind.
    """
    if found is None:
        raise ArtifactMissing(
            f"cannot track the {kind} {location!r}: nothing is there; make it first, or let the"
            " scope make it",
            kind=kind,
            location=location,
        )
    if not is_type(found.st_mode):
        raise UsageError(
            f"cannot track {location!r} as a {kind}: it is a {type_name(found)}", kind=kind
        )
    return Recipe(location, {**facts(found), "type": stat.S_IFMT(found.st_mode)})


def check_same(
    kind: str, location: str, data: Data, found: os.stat_result, is_type: IsType
) -> None:
    """Raise `ArtifactReplaced` unless `found` is the recorded artifact.

    If the process that made it was killed before it could record device and inode, only type and
    owner can be compared: `found` must be of that kind, and belong to the user of this process.
    """
    inode, kept_type = data.get("inode"), data.get("type")
    right = stat.S_IFMT(found.st_mode) == kept_type if kept_type else is_type(found.st_mode)
    if not right:
        what = f"it is a {type_name(found)} now"
    elif inode is not None and (found.st_ino, found.st_dev) != (inode, data.get("device")):
        what = "it is another one"
    elif inode is None and found.st_uid != os.geteuid():
        what = f"it belongs to user {found.st_uid}"
    else:
        return
    raise replaced(kind, location, what)


def unlink(kind: str, location: str, data: Data, is_type: IsType) -> None:
    """Remove the recorded file if it exists; by one lstat and one unlink.

    Raises:
        ArtifactReplaced: something else has its path now.
    """
    try:
        check_same(kind, location, data, os.lstat(location), is_type)
        os.unlink(location)
    except (FileNotFoundError, NotADirectoryError):
        return  # the file is gone, or its directory is


def type_name(found: os.stat_result) -> str:
    """The type of a file, for a message."""
    names = {
        stat.S_IFDIR: "directory",
        stat.S_IFREG: "file",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFSOCK: "socket",
        stat.S_IFIFO: "named pipe",
    }
    return names.get(stat.S_IFMT(found.st_mode), "device")


def replaced(kind: str, location: str, what: str) -> ArtifactReplaced:
    """The error if something else has the place of an artifact."""
    return ArtifactReplaced(
        f"the {kind} {location!r} was replaced since it was recorded ({what}), and was left alone;"
        " remove it by hand, or forget it with keep()",
        kind=kind,
        location=location,
    )


def size(path: str) -> Size | None:
    """The size of the file at `path`; `None` if it does not exist."""
    try:
        return Size(os.lstat(path).st_size)
    except OSError:
        return None
