"""Paths of artifacts: how they are written down, and how one is known again.

A path is recorded absolute and with the links above its last part resolved, so
that it means the same in every process and whatever its working directory.
What was made there is known again by type, owner, device and inode.
"""

from __future__ import annotations

import os
import stat

from ..._platform.files import LONGEST_SOCKET_PATH
from ...errors import ArtifactExists, ArtifactMissing, ArtifactReplaced, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Final

    AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

TYPES: Final = {
    "directory": stat.S_ISDIR,
    "file": stat.S_ISREG,
    "socket": stat.S_ISSOCK,
    # Where the system shows them as files at all.
    "shared_memory": stat.S_ISREG,
    "semaphore": stat.S_ISREG,
}


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


def new_socket(path: AnyPath | None, base: str) -> str:
    """The path of a socket that can be bound; for `None` a fresh one, below `base` if it can.

    Raises:
        ArtifactExists, ArtifactMissing, UsageError: as for any other one.
        UsageError: nobody could ever bind it.
    """
    location = new_path("socket", path, base)
    # Where the whole path is too long, its caller can bind it as it was given.
    if _can_be_bound(location) or (path is not None and _can_be_bound(path)):
        return location
    for place in _other_places() if path is None else ():
        short = new_path("socket", None, place)
        if _can_be_bound(short):
            return short
    raise UsageError(
        f"{location!r} cannot be the path of a socket: it has {len(os.fsencode(location))} bytes,"
        f" and no more than {LONGEST_SOCKET_PATH} can be bound; choose a shorter one, or name it"
        " from a working directory near by, and bind it so",
        kind="socket",
    )


def _can_be_bound(path: AnyPath) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH


def _other_places() -> Iterator[str]:
    """Where sockets may lie, if not in the directory for temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # After `su` and `sudo` it is often still that of the former user.
    if os.path.isdir(runtime) and os.stat(runtime).st_uid == os.geteuid():
        yield runtime
    if os.access("/tmp", os.W_OK | os.X_OK):
        yield "/tmp"


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


def check_same(kind: str, location: str, data: Mapping[str, Any], found: os.stat_result) -> None:
    """Raise `ArtifactReplaced` unless `found` is what was recorded.

    A maker that was killed before it could record device and inode leaves only
    the type and the owner to go by: what is there must be of its kind and ours.
    """
    inode, kept_type = data.get("inode"), data.get("type")
    right = stat.S_IFMT(found.st_mode) == kept_type if kept_type else TYPES[kind](found.st_mode)
    if not right:
        what = f"it is a {type_name(found)} now"
    elif inode is not None and (found.st_ino, found.st_dev) != (inode, data.get("device")):
        what = "it is another one"
    elif inode is None and found.st_uid != os.geteuid():
        what = f"it belongs to user {found.st_uid}"
    else:
        return
    raise replaced(kind, location, what)


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
