"""Makers: how each kind of artifact comes to be, in two steps with the record between them.

    prepare_X(...)  ->  location, data     everything is checked and named, nothing is made
       record it: from here on it is cleaned, whoever is killed
    create_X(...)   ->  what the user gets, more data     known only now: inode, pid, ...
       record that too

All recorded values are JSON; paths are absolute text with undecodable bytes
escaped.  A `create_X` that raises an `Exception` has left nothing behind: its
record can be forgotten.  After anything else, such as a KeyboardInterrupt, the
record has to stay.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..._platform.files import semaphore_file, shared_memory_file
from ..._platform.imports import load
from ...errors import UsageError
from . import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from subprocess import Popen
    from typing import Any

    from .paths import AnyPath
    from .popen import Argument, Arguments
    from .shared_memory import Semaphore, SharedMemory

    Prepared = tuple[str, dict[str, Any]]


@contextmanager
def _or_without(remove: Callable[[str], object], location: str) -> Iterator[None]:
    """If the system refuses the rest, take back what was just made."""
    try:
        yield
    except OSError:
        remove(location)
        raise


def prepare_directory(path: AnyPath | None, base: str) -> Prepared:
    """Choose a directory to be made: `path`, or a fresh name below `base`.

    Raises:
        ArtifactExists: something is there already.
        ArtifactMissing: the directory that it should be in is not there.
        UsageError: it cannot be a path.
    """
    return paths.new_path("directory", path, base), {}


def create_directory(location: str, _data: Mapping[str, Any]) -> tuple[None, dict[str, Any]]:
    """Make the directory, for its owner only (mode 0700).

    Raises:
        ArtifactExists: somebody was quicker.
    """
    try:
        os.mkdir(location, 0o700)
    except FileExistsError as error:
        raise paths.already_there("directory", location) from error
    with _or_without(os.rmdir, location):
        return None, paths.facts(os.lstat(location))


def prepare_file(path: AnyPath | None, base: str) -> Prepared:
    """Choose a file to be made: `path`, or a fresh name below `base`.

    Raises:
        ArtifactExists, ArtifactMissing, UsageError: as for a directory.
    """
    return paths.new_path("file", path, base), {}


def create_file(location: str, _data: Mapping[str, Any]) -> tuple[None, dict[str, Any]]:
    """Make the file, empty and for its owner only (mode 0600).

    Raises:
        ArtifactExists: somebody was quicker.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        made = os.open(location, flags, 0o600)
    except FileExistsError as error:
        raise paths.already_there("file", location) from error
    with _or_without(os.unlink, location):
        try:
            return None, paths.facts(os.fstat(made))
        finally:
            os.close(made)


def prepare_socket(path: AnyPath | None, base: str) -> Prepared:
    """Reserve a path for a Unix socket, which the user binds; a fresh one below `base` for `None`.

    Nothing is known of the socket itself: whatever socket of this user is at
    the path when it is cleaned is taken for it.

    Raises:
        ArtifactExists, ArtifactMissing, UsageError: as for a directory.
    """
    return paths.new_socket(path, base), {}


def create_socket(_location: str, _data: Mapping[str, Any]) -> tuple[None, dict[str, Any]]:
    """Nothing: the user binds it."""
    return None, {}


def prepare_shared_memory(size: int, name: str | None = None) -> Prepared:
    """Choose shared memory of `size` bytes to be made; a fresh name for `None`.

    Raises:
        ArtifactExists: there is one of that name.
        UsageError: the size is not positive, or the name impossible.
        TypeError: they are not a number and text.
    """
    load("lastout._scopes.kinds.shared_memory")
    from . import shared_memory

    _check_number("size", size, least=1)
    name = shared_memory.checked_name("shared_memory", name, shared_memory_file)
    return name, {"size": int(size)}


def create_shared_memory(
    location: str, data: Mapping[str, Any]
) -> tuple[SharedMemory, dict[str, Any]]:
    """Make it, with all of its room; the standard library's resource tracker is not told.

    Raises:
        ArtifactExists: somebody was quicker.
        SystemRefused: there is no room for it.
    """
    from . import shared_memory

    with shared_memory.refusals("shared_memory", location, data["size"]):
        made = shared_memory.SharedMemory(location, create=True, size=data["size"])
        with _or_without(shared_memory.unlink_shared_memory, location):
            shared_memory.take_room(made, data["size"])
            return made, shared_memory.facts("shared_memory", location)


def prepare_semaphore(value: int = 1, name: str | None = None) -> Prepared:
    """Choose a named semaphore to be made with `value`; a fresh name for `None`.

    Raises:
        ArtifactExists, UsageError, TypeError: as for shared memory.
    """
    load("lastout._scopes.kinds.shared_memory")
    from . import shared_memory

    _check_number("value", value, least=0)
    return shared_memory.checked_name("semaphore", name, semaphore_file), {"value": int(value)}


def create_semaphore(location: str, data: Mapping[str, Any]) -> tuple[Semaphore, dict[str, Any]]:
    """Make it; the standard library's resource tracker is not told.

    Raises:
        ArtifactExists: somebody was quicker.
        SystemRefused: there is no room for it.
    """
    from . import shared_memory

    with shared_memory.refusals("semaphore", location):
        made = shared_memory.Semaphore(location, data["value"])
        with _or_without(shared_memory.unlink_semaphore, location):
            return made, shared_memory.facts("semaphore", location)


def _check_number(what: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {value!r}")
    if not least <= value < 2**63:
        raise UsageError(f"{what} must be {least} or more, not {value!r}")


def prepare_popen(
    argv: Arguments,
    options: Mapping[str, Any] | None = None,
    *,
    grace: float = 5.0,
    tree: bool = False,
) -> Prepared:
    """Prepare a process to be started; nothing is known of its pid yet.

    Args:
        argv: the program and its arguments, as for `subprocess.Popen`.
        options: the keyword arguments for `Popen`.
        grace: seconds between SIGTERM and SIGKILL.
        tree: whether what has left its group is ended too, as far as it can be found.

    Raises:
        UsageError, TypeError: it cannot be started so, or not be ended safely here.
    """
    load("lastout._scopes.kinds.popen")
    from . import popen

    return popen.prepare(argv, options or {}, grace, tree)


def create_popen(
    location: str,
    data: Mapping[str, Any],
    argv: Arguments,
    options: Mapping[str, Any] | None = None,
) -> tuple[Popen[Any], dict[str, Any]]:
    """Start it, in a process group of its own.

    Raises:
        OSError: there is no such program, or it cannot be started.
    """
    from . import popen

    return popen.create(location, argv, options or {}, data.get("tree", False))


def prepare_command(
    argv: Sequence[Argument],
    *,
    cwd: AnyPath | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Prepared:
    """Prepare a command that runs as the cleanup.

    Args:
        argv: the program and its arguments; the program is looked up now.
        cwd: the directory it runs in; the present one for `None`.
        env: variables on top of those of the process that cleans.
        timeout: seconds after which it is killed; 60 for `None`.

    Raises:
        UsageError, TypeError: it cannot be run.
    """
    load("lastout._scopes.kinds.command")
    from . import command

    return command.prepare(argv, cwd, env, timeout)


def create_command(_location: str, _data: Mapping[str, Any]) -> tuple[None, dict[str, Any]]:
    """Nothing: it runs when it is cleaned."""
    return None, {}


def prepare_callback(
    func: Callable[..., object],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
) -> Prepared:
    """Prepare a function that is called as the cleanup, in whichever process cleans.

    What it prints is shown only if this very process cleans; else it is part of
    the error, if there is one.

    Args:
        func: the function; one that cannot be imported is pickled, as it is now.
        args: what it is called with, by position.
        kwargs: what it is called with, by name.
        timeout: seconds after which it is given up.  For `None` this process
            itself waits as long as it takes, if nobody who leaves has set a limit;
            another one waits 60 s at most.

    Raises:
        UsageError: it can neither be imported nor pickled.
        TypeError: it is not callable.
    """
    load("lastout._scopes.kinds.callback", needs_logging=True)
    from . import callback

    return callback.prepare(func, args, kwargs or {}, timeout)


def create_callback(
    _location: str,
    data: Mapping[str, Any],
    func: Callable[..., object],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> tuple[None, dict[str, Any]]:
    """Keep the function itself for the case that this very process cleans."""
    from . import callback

    callback.create(data, func, args, kwargs or {})
    return None, {}


def forget(kind: str, location: str, data: Mapping[str, Any]) -> None:
    """It will not be cleaned by us: let go of what this process held for it."""
    if kind == "popen":
        from . import popen

        popen.forget(location)
    elif kind == "callback":
        from . import callback

        callback.forget(data["token"])
