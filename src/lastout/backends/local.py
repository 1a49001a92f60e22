"""Members that meet in a directory: each journal is a file, its lock says "alive".

    <root>/<scope>/scope.lock         locked by a process that joins, leaves or looks around
    <root>/<scope>/cleaner.lock       locked by a process that cleans for long (see `locks`)
    <root>/<scope>/<member>.journal   locked by its member for as long as it lives
    <root>/<scope>/.<member>.new      not published yet: made and locked, then renamed
    <root>/garbage-<id>-<scope>/      a scope that was swept, about to be deleted

`filelock` locks and unlocks descriptors that lastout opens itself.

Tested by: tests/backends/test_local.py, tests/backends/test_base.py
"""

from __future__ import annotations

import os

from ..errors import ScopeGone
from ..layout import GARBAGE, SCOPE_LOCK
from .descriptors import PrivateDescriptor
from .held import LockedDirectory
from .journals import FileJournalLock, delete
from .locks import still_there, wait_for
from .root import check_ours, find_root, open_directory, open_root, refusals, trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..deadline import Deadline


class LocalBackend:
    """Scopes in a directory of this machine.

    Args:
        root: the directory; `None` for the usual directory (see `find_root`).
        trust_root: whether locks can be relied on there on any file system.

    Raises:
        UsageError: `root` cannot be a directory.
        RootRefused, SystemRefused: the trust cannot be noted there.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, trust_root: bool = False
    ) -> None:
        self.place = find_root(root)
        if trust_root:
            trust(self.place)

    def scopes(self) -> list[str]:
        """The names of the existing scopes."""
        return [name for name, is_one in self._named() if is_one]

    def strays(self) -> list[str]:
        """The names of files and links among the scopes, which are not lastout's."""
        return [name for name, is_one in self._named() if not is_one]

    def lock_scope(
        self, scope: str, deadline: Deadline, create: bool = False
    ) -> LockedDirectory | None:
        """Lock a scope; see `Backend`."""
        path = os.path.join(self.place, scope)
        root = open_root(self.place, create)
        if root is None:
            return None
        held = None
        try:
            with refusals("use the scope", path):
                held = _lock(root, scope, path, deadline, create)
            return held
        finally:
            if held is None:
                root.close()

    def publish(self, scope: str, member: str, records: bytes) -> FileJournalLock:
        """Make the journal of a new member; see `Backend`."""
        path = os.path.join(self.place, scope)
        with refusals("write a journal in the scope", path):
            directory = _open_scope(self.place, scope, path)
            try:
                return FileJournalLock(directory, member, records, path)
            finally:
                directory.close()

    def tidy(self, scope: str | None = None) -> list[tuple[str, OSError]]:
        """Delete the remains of scopes whose sweep was killed; see `Backend`."""
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
        """Each name in the root that a scope can have, and whether it is a directory."""
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
    """The name of the scope that was renamed to this garbage; empty if it is no garbage."""
    if not name.startswith(GARBAGE):
        return ""
    return name.removeprefix(GARBAGE).partition("-")[2] or name


def _lock(
    root: PrivateDescriptor, scope: str, path: str, deadline: Deadline, create: bool
) -> LockedDirectory | None:
    while True:
        directory = open_directory(scope, root, path)
        if directory is None:
            if not create:
                return None
            _make_scope(scope, root)
            continue
        lock = None
        try:
            lock = PrivateDescriptor(SCOPE_LOCK, os.O_RDWR | os.O_CREAT, directory.number)
            check_ours(lock.opened, f"{path}/{SCOPE_LOCK}")
            wait_for(lock, path, deadline)
            if still_there(scope, root, directory):
                return LockedDirectory(root, directory, lock, scope, path)
        except BaseException as error:
            _let_go(lock, directory)
            if isinstance(error, FileNotFoundError):
                continue  # the scope was swept between the two opens
            raise
        _let_go(lock, directory)  # the scope was swept during the wait


def _let_go(lock: PrivateDescriptor | None, directory: PrivateDescriptor) -> None:
    if lock:
        lock.close()
    directory.close()


def _make_scope(scope: str, root: PrivateDescriptor) -> None:
    try:
        os.mkdir(scope, 0o700, dir_fd=root.number)
    except FileExistsError:
        return  # another process was faster


def _open_scope(root_path: str, scope: str, path: str) -> PrivateDescriptor:
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
