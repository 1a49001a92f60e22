"""Files, mounts and shared memory, where systems differ.

Tested by: tests/test_platform.py, tests/shared/test_scope.py
"""

from __future__ import annotations

import os
import sys
from errno import EINVAL, ENOSYS, EOPNOTSUPP

from .imports import without_forks

# Opens a directory only to go through it, for which it need not be readable.
PASS_THROUGH = getattr(os, "O_PATH", os.O_RDONLY)


def mount_of(descriptor: int) -> str:
    """The mount that an open file or directory lies in.

    Not the device number alone, because a directory that is mounted a second time by
    `mount --bind` has the same number.
    """
    if sys.platform == "linux":
        try:
            info = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # /proc is not mounted
            return f"device {os.fstat(descriptor).st_dev}"
        try:
            for line in os.read(info, 4096).splitlines():
                if line.startswith(b"mnt_id:"):
                    return line.decode()
        finally:
            os.close(info)
    return f"device {os.fstat(descriptor).st_dev}"


def unlock_directory(name: str, parent: int) -> None:
    """Give its owner all rights to the directory `name` in `parent`, a link not followed."""
    if sys.platform != "linux":
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    # Linux cannot change a mode without following links, but it can open the directory
    # without reading it, and change the mode by the descriptor's name in /proc.
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    found = os.open(name, flags, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{found}", 0o700)
    finally:
        os.close(found)


# Bytes to take at once; small, because a signal has to wait, or undoes the part on old kernels.
_PART = 4 << 20

# Bytes of the path of a Unix socket, for bind(2): `sun_path` less the NUL at its end.
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103

# From 3.13 `SharedMemory` has an option to keep away from the resource tracker.
SHARED_MEMORY_CAN_BE_UNTRACKED = sys.version_info >= (3, 13)


def shared_memory_file(name: str) -> str | None:
    """The file behind POSIX shared memory; `None` if the system shows none."""
    return f"/dev/shm/{name}" if sys.platform == "linux" else None


def take_room(descriptor: int, size: int) -> None:
    """Allocate `size` bytes for a file now, if its file system can do that.

    Raises:
        OSError: there is not so much room.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    for start in range(0, size, _PART):
        try:
            os.posix_fallocate(descriptor, start, min(_PART, size - start))
        except OSError as error:
            if error.errno not in (EOPNOTSUPP, ENOSYS, EINVAL):
                raise
            return


def semaphore_file(name: str) -> str | None:
    """The file behind a named POSIX semaphore; `None` if the system shows none."""
    return f"/dev/shm/sem.{name}" if sys.platform == "linux" else None


def scratch_file() -> int:
    """A descriptor of a nameless file, in memory if possible, because a disk may be full."""
    if sys.platform == "linux":
        return os.memfd_create("lastout", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def temporary_directory() -> str:
    """The directory for temporary files."""
    # Without forks, because tempfile takes a lock, which a child forked meanwhile finds held.
    return without_forks(_temporary_directory)


def _temporary_directory() -> str:
    import tempfile  # not at the top, because it loads all compression modules

    return tempfile.gettempdir()


def path_behind(descriptor: int) -> str:
    """The path that a descriptor was opened by; empty if the system does not say."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
