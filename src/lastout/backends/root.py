"""The root, the directory that scopes lie in: its path, and whether it can be trusted.

lastout obeys the journals in it: it removes paths and calls functions.  So the root
must be a directory of this user in which no other user can write, not a link, and on
a file system where a lock lasts for as long as its holder lives.

Tested by: tests/backends/test_root.py
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from errno import errorcode

from .._platform import files
from .._platform.filesystems import RELIABLE, file_system_of
from ..errors import LastoutError, RootRefused, SystemRefused, UsageError
from ..layout import GARBAGE, ROOT_VARIABLE, TRUSTED, USUAL_ROOT
from .descriptors import PrivateDescriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FLAGS = os.O_RDONLY | os.O_DIRECTORY
_LONGEST = 200  # bytes of a name; file systems allow 255, and lastout adds prefixes
_HINTS = {
    "ENOSPC": "free some space",
    "EDQUOT": "free some space",
    "EMFILE": "close some files, or allow more (ulimit -n)",
    "ENFILE": "close some files, or allow more (sysctl fs.file-max)",
    "EACCES": "make it writable for you (chmod u+rwx), or choose another root",
    "EROFS": "it is mounted read-only; choose another root",
    "EISDIR": "lastout makes only files there; move that directory away, or remove it",
    "ENAMETOOLONG": "choose a shorter root",
    "ENOTDIR": "something on the way there is no directory; choose another root",
    "ENOENT": "somebody removed it; do not let a cleaner of temporary files in there",
    "ENOSYS": "its file system has no locks; choose another root",
    "ENOLCK": "its file system has no locks; choose another root",
}
_NOT_THERE_YET = {"ENOENT": "no directory can be made there; choose another root (LASTOUT_ROOT)"}

# The devices of file systems whose locks are known to be reliable.
_reliable: set[int] = set()


def find_root(root: str | os.PathLike[str] | None) -> str:
    """The absolute path of the directory for scopes.

    The path is `root`, else `$LASTOUT_ROOT`, else `$XDG_RUNTIME_DIR/lastout` if
    `$XDG_RUNTIME_DIR` belongs to this user, else `lastout-<uid>` in the directory for
    temporary files.
    """
    if root is not None:
        path = os.fsdecode(root)
        if not path or "\0" in path or not _has_encoding(path):
            raise UsageError(f"{path!r} cannot be a directory for scopes", path=path)
        return os.path.abspath(path)
    if os.environ.get(ROOT_VARIABLE):
        return os.path.abspath(os.environ[ROOT_VARIABLE])
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # Its owner is checked, because after `su` and `sudo` it often is the former user's.
    if os.path.isdir(runtime) and os.stat(runtime).st_uid == os.geteuid():
        return os.path.join(os.path.abspath(runtime), USUAL_ROOT)
    return os.path.join(files.temporary_directory(), f"{USUAL_ROOT}-{os.geteuid()}")


def _has_encoding(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def check_name(name: str) -> str:
    """`name`, checked to be a name that a scope can have.

    Raises:
        TypeError: `name` is not a string.
        UsageError: `name` cannot be the name of a directory, or is reserved.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a scope must be a string, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{name!r} cannot be the name of a scope: it has no encoding") from None
    if not name:
        why = "it is empty; leave it out for a scope of its own"
    elif size > _LONGEST:
        why = f"it is longer than {_LONGEST} bytes"
    elif "/" in name or not name.isprintable():
        why = "it has a slash or a character that cannot be printed in it"
    elif name.startswith((".", GARBAGE)):
        why = f"it begins with a dot or `{GARBAGE}`"
    else:
        return name
    raise UsageError(f"{name!r} cannot be the name of a scope: {why}", name=name)


@contextmanager
def refusals(doing: str, path: str, hints: Mapping[str, str] = _HINTS) -> Iterator[None]:
    """Turn an `OSError` of the block into an error that says what failed, where, and what helps."""
    try:
        yield
    except OSError as error:
        if isinstance(error, LastoutError):
            raise
        raise refusal(error, doing, path, hints) from error


def refusal(
    error: OSError, doing: str, path: str, hints: Mapping[str, str] = _HINTS
) -> SystemRefused:
    """The error that says what failed, where, and what helps."""
    hint = hints.get(errorcode.get(error.errno or 0, ""), "")
    return SystemRefused(
        f"cannot {doing} {path!r}: {error.strerror or error}{hint and '; ' + hint}",
        number=error.errno,
        path=path,
    )


def open_root(path: str, create: bool, checks_locks: bool = True) -> PrivateDescriptor | None:
    """Open and check the root; `None` if it does not exist and is not to be created."""
    while True:
        try:
            root = PrivateDescriptor(path, _FLAGS)
            break
        except FileNotFoundError:
            if not create:
                return None
            with refusals("make the directory for scopes", path, _HINTS | _NOT_THERE_YET):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                _make(path)
        except OSError as error:  # a link, no directory, or not permitted
            _refuse_odd(path)
            raise refusal(error, "open the directory for scopes", path) from error
    try:
        check_ours(root.opened, path)
        if checks_locks:
            _check_locks(root, path)
    except BaseException:
        root.close()
        raise
    return root


def open_directory(name: str, parent: PrivateDescriptor, path: str) -> PrivateDescriptor | None:
    """Open and check a directory of this user in `parent`; `None` if it does not exist."""
    try:
        directory = PrivateDescriptor(name, _FLAGS, parent.number)
    except FileNotFoundError:
        return None
    except OSError:
        _refuse_odd(path)
        raise
    try:
        check_ours(directory.opened, path)
    except BaseException:
        directory.close()
        raise
    return directory


def check_ours(found: os.stat_result, path: str) -> None:
    """Raise `RootRefused` if another user owns the path, or can write there."""
    if found.st_uid != os.geteuid():
        why, advice = f"it belongs to user {found.st_uid}", "choose another root (LASTOUT_ROOT)"
    elif found.st_mode & 0o022:
        why, advice = "others can write there", f"take that from them (chmod go-w {path!r})"
    else:
        return
    raise RootRefused(f"will not use {path!r}: {why}; {advice}", path=path)


def _refuse_odd(path: str) -> None:
    """Raise `RootRefused` if the path is a link, or no directory."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # its type is unknown, so the caller raises the error of the open
        return
    if not stat.S_ISDIR(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "not a directory"
        raise RootRefused(
            f"will not use {path!r}: it is {what}; remove it, or choose another root"
            " (LASTOUT_ROOT)",
            path=path,
        )


def _make(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return  # another process was faster; the caller checks its directory


def trust(path: str) -> None:
    """Note in the root, for every process that uses it, that locks can be relied on there.

    The note itself can be trusted, because only the root's user can write there.

    Raises:
        RootRefused: the root is a link, or another user can write there.
        SystemRefused: the root, or the note, cannot be made.
    """
    root = open_root(path, create=True, checks_locks=False)
    assert root is not None
    try:
        with refusals("note that you trust", path):
            PrivateDescriptor(TRUSTED, os.O_RDONLY | os.O_CREAT, root.number).close()
    finally:
        root.close()


def _check_locks(root: PrivateDescriptor, path: str) -> None:
    if root.device in _reliable:
        return
    file_system = file_system_of(root.number)
    if file_system in RELIABLE or (not file_system and sys.platform != "linux"):
        _reliable.add(root.device)
    elif not _is_trusted(root):
        raise RootRefused(
            f"will not use {path!r}: its file system ({file_system or 'of an unknown type'}) is not"
            " known to keep a lock for as long as its holder lives; choose a directory on a disk of"
            " this machine, or in memory (LASTOUT_ROOT), or, if no other machine can see that one,"
            f" say trust_root=True (or: touch {os.path.join(path, TRUSTED)!r})",
            path=path,
            file_system=file_system,
        )


def _is_trusted(root: PrivateDescriptor) -> bool:
    try:
        return stat.S_ISREG(os.stat(TRUSTED, dir_fd=root.number, follow_symlinks=False).st_mode)
    except OSError:
        return False
