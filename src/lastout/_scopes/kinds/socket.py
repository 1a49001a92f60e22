"""Unix sockets: a path that can be bound is reserved, and the socket there unlinked.

Tested by: tests/shared/test_makers.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import os
import stat

from ..._platform.files import LONGEST_SOCKET_PATH
from ...errors import UsageError
from . import paths
from .base import Recipe, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...deadline import Deadline
    from .base import AnyPath, Data


class SocketKind(Trackable):
    """The socket at a path, whoever has bound it."""

    name = "socket"
    at_path = True
    repeatable = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """Take note of the one that is there."""
        path = paths.resolve(self.name, location)
        return paths.adopted(self.name, path, paths.look(path), stat.S_ISSOCK)

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Unlink it."""
        paths.unlink(self.name, location, data, stat.S_ISSOCK)


def recipe(path: AnyPath | None, base: str) -> Recipe[None]:
    """A path for a socket, which the user binds; for `None` a fresh one, below `base` if it can.

    Nothing is known of the socket itself: whatever socket of this user is at
    the path when it is cleaned is taken for it.

    Raises:
        ArtifactExists, ArtifactMissing, UsageError: as for a file.
        UsageError: nobody could ever bind it.
    """
    return Recipe(_path_to_bind(path, base))


def _path_to_bind(path: AnyPath | None, base: str) -> str:
    location = paths.new_path(SocketKind.name, path, base)
    # Where the whole path is too long, its caller can bind it as it was given.
    if _can_be_bound(location) or (path is not None and _can_be_bound(path)):
        return location
    for place in _other_places() if path is None else ():
        short = paths.new_path(SocketKind.name, None, place)
        if _can_be_bound(short):
            return short
    raise UsageError(
        f"{location!r} cannot be the path of a socket: it has {len(os.fsencode(location))} bytes,"
        f" and no more than {LONGEST_SOCKET_PATH} can be bound; choose a shorter one, or name it"
        " from a working directory near by, and bind it so",
        kind=SocketKind.name,
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
