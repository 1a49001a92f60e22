"""Paths of artifacts: how they are written down, and how one is known again.

A path is recorded absolute and with the links above its last part resolved, so
that it means the same in every process and whatever its working directory.
What was made there is known again by type, owner, device and inode.

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

    IsType = Callable[[int], bool]  # asked of a mode, as `stat.S_ISREG` is


def fresh_name(kind: str) -> str:
    """A name that nobody can guess and nothing has yet."""
    return f"{kind}-{os.urandom(8).hex()}"


def new_path(kind: str, path: AnyPath | None, base: str) -> str:
    """The path of something to be made, as it is recorded; a fresh one below `base` for `None`.

    Raises:
        ArtifactExists: something is there already, be it a dangling link.
        ArtifactMissing: the directory that it should be in is not there.
        UsageError: it is no path that the file system could have.
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
    """The error for something that was to be made and is there already."""
    return ArtifactExists(
        f"cannot make the {kind} {location!r}: something is there already; choose another name,"
        f" or hand it over as it is with track({kind!r}, ...)",
        kind=kind,
        location=location,
    )


def look(location: str) -> os.stat_result | None:
    """What is at `location` itself, links not followed; `None` if nothing."""
    try:
        return os.lstat(location)
    except (FileNotFoundError, NotADirectoryError):
        return None


def facts(found: os.stat_result) -> dict[str, Any]:
    """By what something that was just made is known again."""
    return {"device": found.st_dev, "inode": found.st_ino}


@contextmanager
def or_without(remove: Callable[[str], object], location: str) -> Iterator[None]:
    """If the system refuses the rest, take back what was just made."""
    try:
        yield
    except OSError:
        remove(location)
        raise


def adopted(
    kind: str, location: str, found: os.stat_result | None, is_type: IsType
) -> Recipe[None]:
    """How something that exists is recorded.

    Raises:
        ArtifactMissing: nothing is there.
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
    """Raise `ArtifactReplaced` unless `found` is what was recorded.

    A maker that was killed before it could record device and inode leaves only
    the type and the owner to go by: what is there must be of its kind and ours.
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
    """Remove what was recorded, if it is there; by one lstat and one unlink.

    Raises:
        ArtifactReplaced: something else is there now.
    """
    try:
        check_same(kind, location, data, os.lstat(location), is_type)
        os.unlink(location)
    except (FileNotFoundError, NotADirectoryError):
        return  # gone, or the directory that it was in is


def type_name(found: os.stat_result) -> str:
    """What sort of thing it is, for a message."""
    names = {
        stat.S_IFDIR: "directory",
        stat.S_IFREG: "file",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFSOCK: "socket",
        stat.S_IFIFO: "named pipe",
    }
    return names.get(stat.S_IFMT(found.st_mode), "device")


def replaced(kind: str, location: str, what: str) -> ArtifactReplaced:
    """The error for something else in the place of an artifact."""
    return ArtifactReplaced(
        f"the {kind} {location!r} was replaced since it was recorded ({what}), and was left alone;"
        " remove it by hand, or forget it with keep()",
        kind=kind,
        location=location,
    )


def size(path: str) -> Size | None:
    """How big the file at `path` is; `None` if there is none."""
    try:
        return Size(os.lstat(path).st_size)
    except OSError:
        return None
