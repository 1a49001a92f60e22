"""Members that meet in a directory: each journal is a file, its lock says "alive".

    <root>/<scope>/scope.lock         locked by whoever joins, leaves or cleans
    <root>/<scope>/<member>.journal   locked by its member for as long as it lives
    <root>/<scope>/.<member>.new      not published yet: made and locked, then renamed
    <root>/garbage-<id>-<scope>/      a scope that was swept, about to be deleted

The locks are those of `filelock`, on descriptors of our own.
"""

from __future__ import annotations

__lazy_modules__ = ["filelock"]  # from 3.15: loaded for the first lock

import os

from filelock import lock_descriptor

from .._platform.genuine import Genuine
from ..errors import ScopeBusy, ScopeGone
from .descriptors import Descriptor
from .held import GARBAGE, HeldDirectory
from .journals import FileLease, delete
from .root import check_ours, find_root, open_directory, open_root, refusals, trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .._process.deadline import Deadline

_time = Genuine("time")
_LOCK: Final = "scope.lock"
_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.01


class LocalBackend:
    """Scopes in a directory of this machine.

    Args:
        root: the directory; `None` for the usual one (see `find_root`).
        trust_root: whether locks can be relied on there, whatever its file system is.

    Raises:
        UsageError: that cannot be a directory.
        RootRefused, SystemRefused: that cannot be noted there.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, trust_root: bool = False
    ) -> None:
        self.place = find_root(root)
        if trust_root:
            trust(self.place)

    def scopes(self) -> list[str]:
        """The names of the scopes that there are."""
        return [name for name, is_one in self._named() if is_one]

    def strays(self) -> list[str]:
        """The names of what lies among the scopes and is none: files and links, not lastout's."""
        return [name for name, is_one in self._named() if not is_one]

    def hold(self, scope: str, deadline: Deadline, create: bool = False) -> HeldDirectory | None:
        """The scope, held; see `Backend`."""
        path = os.path.join(self.place, scope)
        root = open_root(self.place, create)
        if root is None:
            return None
        held = None
        try:
            with refusals("use the scope", path):
                held = _hold(root, scope, path, deadline, create)
            return held
        finally:
            if held is None:
                root.close()

    def publish(self, scope: str, member: str, records: bytes) -> FileLease:
        """A journal of one's own; see `Backend`."""
        path = os.path.join(self.place, scope)
        with refusals("write a journal in the scope", path):
            directory = _open_scope(self.place, scope, path)
            try:
                return FileLease(directory, member, records, path)
            finally:
                directory.close()

    def tidy(self, scope: str | None = None) -> list[tuple[str, OSError]]:
        """Delete the garbage of sweepers that were killed; see `Backend`."""
        root = open_root(self.place, create=False)
        if root is None:
            return []
        try:
            left: list[tuple[str, OSError]] = []
            for name in sorted(os.listdir(root.number)):
                of = _swept(name)
                if of and scope in (None, of):
                    error = delete(root, name, os.path.join(self.place, name), of)
                    left += [(of, error)] if error else []
            return left
        finally:
            root.close()

    def _named(self) -> list[tuple[str, bool]]:
        """What a scope could be called, and whether it is a directory, as scopes are."""
        root = open_root(self.place, create=False)
        if root is None:
            return []
        try:
            with os.scandir(root.number) as entries:
                found = [
                    (entry.name, entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if not entry.name.startswith((GARBAGE, "."))
                ]
            return sorted(found)
        finally:
            root.close()

    def __repr__(self) -> str:
        return f"LocalBackend({self.place!r})"


def _swept(name: str) -> str:
    """The scope whose garbage is called so; empty if it is none."""
    if not name.startswith(GARBAGE):
        return ""
    return name.removeprefix(GARBAGE).partition("-")[2] or name


def _hold(
    root: Descriptor, scope: str, path: str, deadline: Deadline, create: bool
) -> HeldDirectory | None:
    while True:
        directory = open_directory(scope, root, path)
        if directory is None:
            if not create:
                return None
            _make_scope(scope, root)
            continue
        lock = None
        try:
            lock = Descriptor(_LOCK, os.O_RDWR | os.O_CREAT, directory.number)
            check_ours(lock.opened, f"{path}/{_LOCK}")
            _wait_for(lock, path, deadline)
            if _still_there(scope, root, directory):
                return HeldDirectory(root, directory, lock, scope, path)
        except BaseException as error:
            _let_go(lock, directory)
            if isinstance(error, FileNotFoundError):
                continue  # it was swept between the two opens
            raise
        _let_go(lock, directory)  # it was swept while we waited


def _let_go(lock: Descriptor | None, directory: Descriptor) -> None:
    if lock:
        lock.close()
    directory.close()


def _make_scope(scope: str, root: Descriptor) -> None:
    try:
        os.mkdir(scope, 0o700, dir_fd=root.number)
    except FileExistsError:
        return  # another joiner was faster


def _open_scope(root_path: str, scope: str, path: str) -> Descriptor:
    root = open_root(root_path, create=False)
    directory = None
    if root is not None:
        try:
            directory = open_directory(scope, root, path)
        finally:
            root.close()
    if directory is None:
        raise ScopeGone(f"the scope {path!r} is not there any more; join it anew", path=path)
    return directory


def _wait_for(lock: Descriptor, path: str, deadline: Deadline) -> None:
    pause = _FIRST_PAUSE
    while not lock_descriptor(lock.number, blocking=False):
        left = deadline.left()
        if left is not None and left <= 0:
            raise ScopeBusy(
                f"the scope {path!r} is held by another process, which may be cleaning;"
                " try again, or see who has its scope.lock open (fuser)",
                path=path,
            )
        # The kernel could wake us, but not with an end to the waiting.
        _time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _still_there(scope: str, root: Descriptor, directory: Descriptor) -> bool:
    try:
        return directory.is_at(os.stat(scope, dir_fd=root.number, follow_symlinks=False))
    except FileNotFoundError:
        return False
