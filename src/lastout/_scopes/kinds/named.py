"""Named: what POSIX knows by a name of its own and not by a path, such as shared memory.

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

LONGEST_NAME: Final = 240  # bytes: NAME_MAX less what libc puts before it


class NamedKind(Trackable):
    """What is found by a name, and by a file too where the system has one for it."""

    repeatable = True

    def file_of(self, name: str) -> str | None:
        """Where its file is; `None` if there is none here."""
        raise NotImplementedError

    def unlink(self, name: str) -> None:
        """Take its name from it; those who have it open keep it.

        Raises:
            FileNotFoundError: there is none of that name.
        """
        raise NotImplementedError

    def look(self, name: str) -> os.stat_result | None:
        """The file behind it, where the system has one."""
        file = self.file_of(name)
        return paths.look(file) if file else None

    def facts(self, name: str) -> Data:
        """By what the one that was just made is known again."""
        found = self.look(name)
        return paths.facts(found) if found else {}

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """Take note of the one that is there; with a slash before its name or without."""
        name = os.fsdecode(location).removeprefix("/")
        return paths.adopted(self.name, name, self.look(name), stat.S_ISREG)

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Unlink it."""
        found = self.look(location)
        if found is not None:
            paths.check_same(self.name, location, data, found, stat.S_ISREG)
        try:
            self.unlink(location)
        except FileNotFoundError:
            return


def checked_name(kind: NamedKind, name: str | None) -> str:
    """`name`, or a fresh one for `None`, if something of that name can be made.

    Raises:
        ArtifactExists: it is there already.
        UsageError: it is no possible name.
        TypeError: it is not text.
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
    """Raise an error unless it is a number that there can be so many of.

    Raises:
        UsageError: it is too small or too large.
        TypeError: it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {value!r}")
    if not least <= value < 2**63:
        raise UsageError(f"{what} must be {least} or more, not {value!r}")


@contextmanager
def refusals(kind: str, name: str, size: int = 0) -> Iterator[None]:
    """Say how much was asked for and where, when the system refuses to make one."""
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
