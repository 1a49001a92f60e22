"""Named semaphores: made with a value, and unlinked.

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
        """Where the system shows it as a file."""
        return files.semaphore_file(name)

    def unlink(self, name: str) -> None:
        """Take its name from it; those who have it open keep it."""
        _multiprocessing.sem_unlink(f"/{name}")


def recipe(value: int = 1, name: str | None = None) -> Recipe[untracked.Semaphore]:
    """A named semaphore to be made with `value`; by a fresh name for `None`.

    The resource tracker is not told.

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
