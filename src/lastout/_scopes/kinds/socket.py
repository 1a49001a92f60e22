"""SocketKind: reserves a path that a Unix socket can be bound to, and unlinks the socket.

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
    """The socket at a path; the process that binds it is not recorded."""

    name = "socket"
    at_path = True
    repeatable = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """The recipe for an existing socket."""
        path = paths.resolve(self.name, location)
        return paths.adopted(self.name, path, paths.look(path), stat.S_ISSOCK)

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Unlink the socket at the path."""
        paths.unlink(self.name, location, data, stat.S_ISSOCK)


def recipe(path: AnyPath | None, base: str) -> Recipe[None]:
    """A path for a socket, which the user binds; for `None` a fresh path, short enough to bind.

    The fresh path is below `base`, or below another directory if that is too long.  The socket
    does not exist yet, so its identity is not recorded: cleaning removes any socket of this user
    at the path.

    Raises:
        ArtifactExists, ArtifactMissing, UsageError: as for a file.
        UsageError: the path is too long for a socket.
    """
    return Recipe(_path_to_bind(path, base))


def _path_to_bind(path: AnyPath | None, base: str) -> str:
    location = paths.new_path(SocketKind.name, path, base)
    # If the absolute path is too long, the caller can still bind the path that it gave.
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
    """Directories for sockets, if the path of the directory for temporary files is too long."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # Checked, because after `su` and `sudo` it often still belongs to the former user.
    if os.path.isdir(runtime) and os.stat(runtime).st_uid == os.geteuid():
        yield runtime
    if os.access("/tmp", os.W_OK | os.X_OK):
        yield "/tmp"
