"""SemaphoreKind: makes named semaphores with a value, and unlinks them.

Tested by: tests/shared/test_segments.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]

from ..._platform import files
from . import named, paths, untracked
from .base import Recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Data


class SemaphoreKind(named.NamedKind):
    """A POSIX semaphore, by its name."""

    name = "semaphore"

    def file_of(self, name: str) -> str | None:
        """The path of the file for a semaphore; `None` if this system has no such files."""
        return files.semaphore_file(name)

    def unlink(self, name: str) -> None:
        """Remove the name; processes that have the semaphore open keep it."""
        _multiprocessing.sem_unlink(f"/{name}")


def recipe(value: int = 1, name: str | None = None) -> Recipe[untracked.Semaphore]:
    """A named semaphore to be made with `value`; with a fresh name for `None`.

    It is not registered with the resource tracker.

    Raises:
        ArtifactExists, UsageError, TypeError, SystemRefused: as for shared memory.
    """
    named.check_number("value", value, least=0)
    kind, value = SemaphoreKind(), int(value)
    location = named.checked_name(kind, name)

    def create() -> tuple[untracked.Semaphore, Data]:
        with named.refusals(kind.name, location):
            made = untracked.Semaphore(location, value)
            with paths.or_without(kind.unlink, location):
                return made, kind.facts(location)

    return Recipe(location, {"value": value}, create)
