"""NamedKind: artifacts with a POSIX name instead of a path, such as shared memory.

Tested by: tests/shared/test_segments.py
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from errno import ENOMEM, ENOSPC

from ..._platform import files
from ...errors import SystemRefused, UsageError
from . import paths
from .base import Recipe, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ...deadline import Deadline
    from .base import AnyPath, Data

LONGEST_NAME: Final = 240  # bytes: NAME_MAX less the prefix that libc adds


class NamedKind(Trackable):
    """A kind of things that have names, and on some systems a file for each name."""

    repeatable = True

    def file_of(self, name: str) -> str | None:
        """The path of the file for a name; `None` if this system has no such files."""
        raise NotImplementedError

    def unlink(self, name: str) -> None:
        """Remove a name; processes that have the thing open keep it.

        Raises:
            FileNotFoundError: the name does not exist.
        """
        raise NotImplementedError

    def look(self, name: str) -> os.stat_result | None:
        """The `stat` of the file for a name; `None` if there is no such file."""
        file = self.file_of(name)
        return paths.look(file) if file else None

    def facts(self, name: str) -> Data:
        """The data by which a thing that was just made is recognized later."""
        found = self.look(name)
        return paths.facts(found) if found else {}

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """The recipe for an existing name, given with a leading slash or without."""
        name = os.fsdecode(location).removeprefix("/")
        return paths.adopted(self.name, name, self.look(name), stat.S_ISREG)

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Remove the name, unless its file shows that another thing has it now."""
        found = self.look(location)
        if found is not None:
            paths.check_same(self.name, location, data, found, stat.S_ISREG)
        try:
            self.unlink(location)
        except FileNotFoundError:
            return


def checked_name(kind: NamedKind, name: str | None) -> str:
    """`name`, or a fresh name for `None`, if it can be used for a new thing.

    Raises:
        ArtifactExists: the name is in use.
        UsageError: no thing can have this name.
        TypeError: the name is not text.
    """
    if name is None:
        return paths.fresh_name("lastout")
    if not isinstance(name, str):
        raise TypeError(f"the name of a {kind.name} must be str or None, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= LONGEST_NAME or name in (".", "..") or "/" in name or "\0" in name:
        raise UsageError(
            f"{name!r} cannot be the name of a {kind.name}: it must have 1 to {LONGEST_NAME} bytes,"
            " no slash and no NUL",
            kind=kind.name,
        )
    if kind.look(name) is not None:
        raise paths.already_there(kind.name, name)
    return name


def check_number(what: str, value: int, least: int) -> None:
    """Raise an error unless `value` is an integer from `least` to what 63 bits hold.

    Raises:
        UsageError: it is too small or too large.
        TypeError: it is not an integer.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {value!r}")
    if not least <= value < 2**63:
        raise UsageError(f"{what} must be {least} or more, not {value!r}")


@contextmanager
def refusals(kind: str, name: str, size: int = 0) -> Iterator[None]:
    """Turn an `OSError` of the block into an error that names the size and the place."""
    try:
        yield
    except FileExistsError as error:
        raise paths.already_there(kind, name) from error
    except OSError as error:
        place = os.path.dirname(files.shared_memory_file(name) or "") or "shared memory"
        what = f"shared memory of {size} bytes" if size else "a semaphore"
        hint = f"; ask for less, or make {place} larger (docker run --shm-size)"
        raise SystemRefused(
            f"cannot make {what} in {place}: {error.strerror or error}"
            f"{hint if error.errno in (ENOSPC, ENOMEM) else ''}",
            number=error.errno,
            path=place,
        ) from error
