"""DirectoryKind: removes directories with everything inside, and nothing outside.

A removal walks by descriptors, never by paths.  It opens each directory in its parent without
following links, empties it, and leaves it through `..`, which must be the directory that it
came from.  So a process that replaces a part of the tree by a link, or moves it away, during
the removal cannot lead it elsewhere.  The removal enters no mount point, and needs one
descriptor for any depth.

    open(top) -> unlink files -> open(child) -> ... -> open("..") same? -> rmdir(child)

Tested by: tests/shared/test_trees.py
"""

from __future__ import annotations

import os
import stat

from ..._platform.files import PASS_THROUGH, mount_of, unlock_directory
from ...deadline import Deadline
from ...errors import CleanupFailed, CleanupTimeout
from . import paths
from .base import Recipe, Size, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .base import AnyPath, Data

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# For the parent of the first directory, which may belong to another user, or be unreadable.
_PASSING: Final = PASS_THROUGH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOKS: Final = 10  # at a directory into which a process still writes
_ADDING: Final = 2.0  # seconds to add up the size of a directory
_TOLD: Final = 5  # how many remaining files the error names


class DirectoryKind(Trackable):
    """A directory with everything inside, recorded or not."""

    name = "directory"
    at_path = True
    repeatable = True
    contains = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """The recipe for an existing directory."""
        path = paths.resolve(self.name, location)
        return paths.adopted(self.name, path, paths.look(path), stat.S_ISDIR)

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Remove a directory and everything in it.

        A file that cannot be removed does not keep the rest from being removed.

        Raises:
            ArtifactReplaced: the path is no longer that directory; nothing was touched.
            CleanupFailed: files in it stay; the text names them with the reasons.
            CleanupTimeout: the time was over; the next cleaning removes the rest.
        """
        found = paths.look(location)
        if found is None:
            return
        paths.check_same(self.name, location, data, found, stat.S_ISDIR)
        parent, name = os.path.split(location)
        try:
            above = os.open(parent, _PASSING)
        except FileNotFoundError:
            return  # removed since `look`
        try:
            _Walk(location, deadline).remove(name, above, (found.st_dev, found.st_ino))
        finally:
            os.close(above)

    def size(self, location: str, data: Data) -> Size | None:
        """The sum of the sizes of all files below it, without following links."""
        return _size_below(location, Deadline(_ADDING))


def recipe(path: AnyPath | None, base: str) -> Recipe[None]:
    """A directory to be made, with mode 0700: at `path`, or by a fresh name below `base`.

    Raises:
        ArtifactExists: the path exists already; also from `create`, if another process made it
            meanwhile.
        ArtifactMissing: its directory does not exist.
        UsageError: no file system can have this path.
    """
    location = paths.new_path(DirectoryKind.name, path, base)
    return Recipe(location, create=lambda: (None, _create(location)))


def _create(location: str) -> Data:
    try:
        os.mkdir(location, 0o700)
    except FileExistsError as error:
        raise paths.already_there(DirectoryKind.name, location) from error
    with paths.or_without(os.rmdir, location):
        return paths.facts(os.lstat(location))


def _size_below(path: str, deadline: Deadline) -> Size | None:
    total, complete, ahead = 0, True, [path]
    while ahead and not deadline.passed():
        try:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            if not ahead and not total and not os.path.lexists(path):
                return None
            complete = False
    return Size(total, complete and not ahead)


class _Step:
    """A directory on the way down: its name, its identity, and the work left in it."""

    __slots__ = ("identity", "left", "looks", "name", "subdirectories")

    def __init__(self, name: str, identity: tuple[int, int], left: int) -> None:
        self.name = name
        self.identity = identity
        self.left = left  # how many files had to stay when the walk entered this directory
        self.looks = 1
        self.subdirectories: list[str] = []


class _Walk:
    """A removal: where it is (`_here`), the way there (`_trail`), files that stay (`_left`)."""

    def __init__(self, location: str, deadline: Deadline) -> None:
        self._location = location
        self._deadline = deadline
        self._trail: list[_Step] = []
        self._left: list[str] = []

    def remove(self, name: str, above: int, identity: tuple[int, int]) -> None:
        """Remove the directory `name` in `above`, which must have this identity."""
        self._top = _identity(os.fstat(above))
        self._mount = mount_of(above)
        self._here = os.dup(above)
        try:
            self._enter(name, identity)
            while self._trail:
                self._go_on()
        finally:
            os.close(self._here)
        if self._left:
            raise self._failure()

    def _go_on(self) -> None:
        """Go one step: into the next subdirectory, or out of this directory, which is empty now."""
        if self._deadline.passed():
            raise CleanupTimeout(
                f"the directory {self._location!r} was not removed in its time;"
                " what is left of it is removed the next time",
                kind="directory",
                location=self._location,
            )
        step = self._trail[-1]
        if step.subdirectories:
            self._enter(step.subdirectories.pop())
        else:
            self._leave(step)

    def _enter(self, name: str, identity: tuple[int, int] | None = None) -> None:
        """Go down into `name` and unlink the files in it, unless it must not be entered."""
        try:
            child = self._open(name)
        except FileNotFoundError:
            return
        except OSError as error:
            self._stays(error, name)
            return
        try:
            found = os.fstat(child)
            if identity not in (None, _identity(found)):
                raise paths.replaced("directory", self._path(name), "it is another one")
            if mount_of(child) != self._mount:
                self._left.append(f"{self._path(name)}: something is mounted there")
                return
            if found.st_mode & 0o700 != 0o700 and found.st_uid == os.geteuid():
                os.fchmod(child, 0o700)
            self._here, child = child, self._here
        finally:
            os.close(child)
        self._trail.append(_Step(name, _identity(found), len(self._left)))
        self._unlink_files(self._trail[-1])

    def _open(self, name: str) -> int:
        try:
            return os.open(name, _FLAGS, dir_fd=self._here)
        except PermissionError:
            unlock_directory(name, self._here)
            return os.open(name, _FLAGS, dir_fd=self._here)

    def _unlink_files(self, step: _Step) -> None:
        here = self._here
        with os.scandir(here) as entries:
            # Read to its end first, because readdir is undefined while entries are removed.
            everything = list(entries)
        for entry in everything:
            if entry.is_dir(follow_symlinks=False):
                step.subdirectories.append(entry.name)
                continue
            try:
                os.unlink(entry.name, dir_fd=here)
            except FileNotFoundError:
                continue  # another process removed it
            except IsADirectoryError:  # replaced by a directory since it was read
                step.subdirectories.append(entry.name)
            except OSError as error:
                self._stays(error, entry.name)

    def _leave(self, step: _Step) -> None:
        """Go up and remove the directory just left; stay if a process still writes into it."""
        inside = len(self._trail) > 1
        above = os.open("..", _FLAGS if inside else _PASSING, dir_fd=self._here)
        try:
            came_from = self._trail[-2].identity if inside else self._top
            if _identity(os.fstat(above)) != came_from:
                raise paths.replaced("directory", self._path(), "it was moved while it was removed")
            if self._removed(step, above):
                self._trail.pop()
                self._here, above = above, self._here
        finally:
            os.close(above)

    def _removed(self, step: _Step, above: int) -> bool:
        """Try to remove a directory; returns whether that is settled, or to be tried again."""
        try:
            os.rmdir(step.name, dir_fd=above)
        except FileNotFoundError:
            return True
        except OSError as error:
            if len(self._left) > step.left:
                return True  # reported already, because a file in it stays
            if step.looks < _LOOKS:
                step.looks += 1
                self._unlink_files(step)
                return False
            self._stays(error)
        return True

    def _stays(self, error: OSError, *names: str) -> None:
        self._left.append(f"{self._path(*names)}: {error.strerror}")

    def _path(self, *names: str) -> str:
        steps = [step.name for step in self._trail]
        return os.path.join(os.path.dirname(self._location), *steps, *names)

    def _failure(self) -> CleanupFailed:
        told = "; ".join(map(repr, self._left[:_TOLD]))
        more = len(self._left) - _TOLD
        return CleanupFailed(
            f"the directory {self._location!r} was not removed, because of {told}"
            + (f" and {more} more" if more > 0 else "")
            + "; see to them, and it is removed the next time",
            kind="directory",
            location=self._location,
        )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
