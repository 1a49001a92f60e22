"""Shared memory: all of its room taken at once, and unlinked.

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
        """Where the system shows it as a file."""
        return files.shared_memory_file(name)

    def unlink(self, name: str) -> None:
        """Take its name from it; those who have it mapped keep it until they close it."""
        _posixshmem.shm_unlink(f"/{name}")

    def size(self, location: str, data: Data) -> Size | None:
        """The size that it has, or was made with."""
        file = self.file_of(location)
        return paths.size(file) if file else Size(data["size"])


def recipe(size: int, name: str | None = None) -> Recipe[untracked.SharedMemory]:
    """Shared memory of `size` bytes to be made; by a fresh name for `None`.

    It has all of its room from the start, and the resource tracker is not told.

    Raises:
        ArtifactExists: there is one of that name; also when it is made, if somebody was quicker.
        UsageError: the size is not positive, or the name impossible.
        TypeError: they are not a number and text.
        SystemRefused: when it is made: there is no room for it.
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
    """Have the system give it all of its memory now, or refuse; then it is gone again.

    Else who writes to it dies of SIGBUS where there is no room: in containers /dev/shm is small.
    """
    try:
        files.take_room(made._fd, size)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        made.close()
        raise
