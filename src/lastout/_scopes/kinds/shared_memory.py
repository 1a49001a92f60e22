"""SharedMemoryKind: makes shared memory, all of its room allocated at once, and unlinks it.

Tested by: tests/shared/test_segments.py
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]

from ..._platform import files
from . import named, paths, untracked
from .base import Recipe, Size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Data


class SharedMemoryKind(named.NamedKind):
    """POSIX shared memory, by its name."""

    name = "shared_memory"

    def file_of(self, name: str) -> str | None:
        """The path of the file for shared memory; `None` if this system has no such files."""
        return files.shared_memory_file(name)

    def unlink(self, name: str) -> None:
        """Remove the name; processes that have the memory mapped keep it until they close it."""
        _posixshmem.shm_unlink(f"/{name}")

    def size(self, location: str, data: Data) -> Size | None:
        """Its size; the size that it was made with, if the system has no file for it."""
        file = self.file_of(location)
        return paths.size(file) if file else Size(data["size"])


def recipe(size: int, name: str | None = None) -> Recipe[untracked.SharedMemory]:
    """Shared memory of `size` bytes to be made; with a fresh name for `None`.

    All of its room is allocated at once, and it is not registered with the resource tracker.

    Raises:
        ArtifactExists: the name is in use; also from `create`, if another process took it
            meanwhile.
        UsageError: the size is not positive, or the name impossible.
        TypeError: the size is not an integer, or the name not text.
        SystemRefused: from `create`, if there is no room.
    """
    named.check_number("size", size, least=1)
    kind, size = SharedMemoryKind(), int(size)
    location = named.checked_name(kind, name)

    def create() -> tuple[untracked.SharedMemory, Data]:
        with named.refusals(kind.name, location, size):
            made = untracked.SharedMemory(location, create=True, size=size)
            with paths.or_without(kind.unlink, location):
                _take_room(made, size)
                return made, kind.facts(location)

    return Recipe(location, {"size": size}, create)


def _take_room(made: untracked.SharedMemory, size: int) -> None:
    """Allocate all of its memory now; if the system refuses, close the shared memory.

    Otherwise a process that writes to it dies of SIGBUS where there is no room, because /dev/shm
    is small in containers.
    """
    try:
        files.take_room(made._fd, size)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        made.close()
        raise
