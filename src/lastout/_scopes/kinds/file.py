"""FileKind: makes empty files, accessible to their owner only, and unlinks them.

Tested by: tests/shared/test_makers.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import os
import stat

from . import paths
from .base import Recipe, Size, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...deadline import Deadline
    from .base import AnyPath, Data


class FileKind(Trackable):
    """Anything at a path but a directory; of a symbolic link the link is removed."""

    name = "file"
    at_path = True
    repeatable = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """The recipe for an existing file; a link is not followed."""
        path = paths.resolve(self.name, location)
        return paths.adopted(self.name, path, paths.look(path), _is_no_directory)

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Unlink the file."""
        paths.unlink(self.name, location, data, stat.S_ISREG)

    def size(self, location: str, data: Data) -> Size | None:
        """The size of the file, as the file system reports it."""
        return paths.size(location)


def recipe(path: AnyPath | None, base: str) -> Recipe[None]:
    """A file to be made, with mode 0600: at `path`, or by a fresh name below `base`.

    Raises:
        ArtifactExists: the path exists already; also from `create`, if another process made it
            meanwhile.
        ArtifactMissing: its directory does not exist.
        UsageError: no file system can have this path.
    """
    location = paths.new_path(FileKind.name, path, base)
    return Recipe(location, create=lambda: (None, _create(location)))


def _create(location: str) -> Data:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        made = os.open(location, flags, 0o600)
    except FileExistsError as error:
        raise paths.already_there(FileKind.name, location) from error
    with paths.or_without(os.unlink, location):
        try:
            return paths.facts(os.fstat(made))
        finally:
            os.close(made)


def _is_no_directory(mode: int) -> bool:
    return not stat.S_ISDIR(mode)
