"""File locks of other processes: which files are locked, and by which processes.

Tested by: tests/shared/test_removed_root.py, tests/cli/test_keeping.py
"""

from __future__ import annotations

import os
import sys

from . import pids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Final

_FIRST_NAMESPACE: Final = 0xEFFFFFFC  # the inode of the pid namespace in which the machine began
_LOOKS: Final = 20


def locked_beside(descriptor: int) -> list[str] | None:
    """The other files on the same file system on which a process holds a `flock`.

    Args:
        descriptor: a file of that file system, on which this process holds a `flock`.

    Returns:
        Their paths, with `" (deleted)"` at the end of a file without a name; `None` if
        unknown, because this process cannot see all processes of this machine.
    """
    if sys.platform != "linux":
        return None
    # Only the locks of the first look count, because no process can join a removed scope later.
    unknown: set[int] | None = None
    paths: dict[int, str] = {}
    for _ in range(_LOOKS):
        try:
            locked = _inodes(descriptor)
            seen = dict(_open_files(os.fstat(descriptor).st_dev))
        except OSError:
            return None
        if locked is None:
            return None
        # Locks come and go, so a lock is hidden only if it stays and no look finds its holder.
        unknown = locked if unknown is None else unknown & locked
        paths.update((inode, seen[inode]) for inode in unknown & seen.keys())
        unknown -= seen.keys()
        if not unknown:
            return list(paths.values())
    return None


def _inodes(descriptor: int) -> set[int] | None:
    """The inodes of other locked files on the file system; `None` if some may be hidden."""
    if os.stat("/proc/self/ns/pid").st_ino != _FIRST_NAMESPACE:
        return None  # /proc/locks leaves out processes outside of this pid namespace
    found = os.fstat(descriptor)
    ours = found.st_ino
    with open("/proc/locks", encoding="ascii") as table:
        # "1: FLOCK  ADVISORY  WRITE 8614 00:2b:22593 0 EOF"; an arrow marks a waiting process.
        rows = [line.split() for line in table]
    files = [row[5].rpartition(":") for row in rows if row[1] == "FLOCK"]
    # By the table's own name of the file system, because on btrfs `st_dev` is another number.
    devices = {device for device, _, inode in files if int(inode) == ours}
    usual = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    if usual in devices:  # other file systems, such as each new tmpfs, may have the same inode
        devices = {usual}
    if len(devices) != 1:
        return None
    return {int(inode) for device, _, inode in files if device in devices} - {ours}


def _open_files(device: int) -> Iterator[tuple[int, str]]:
    """Inode and path of each file of a file system that a process has open."""
    for pid, number in _descriptors():
        path = f"/proc/{pid}/fd/{number}"
        try:
            found = os.stat(path)
            if found.st_dev == device:
                yield found.st_ino, os.readlink(path)
        except OSError:
            continue  # it was closed meanwhile


def _descriptors() -> Iterator[tuple[int, str]]:
    """Process and number of all descriptors that can be seen from here."""
    for pid in pids.process_ids():
        for number in pids.descriptors_of(pid):
            yield pid, number


def holders(paths: Collection[str]) -> dict[str, list[int]]:
    """The processes that have an exclusive `flock` on these files, as far as they can be seen.

    A process that inherited the descriptor holds the lock too; it is free when the last holder
    has ended.  A process in a container is found as well, by its pid here, even if it has
    another path for the file.
    """
    having: dict[str, set[int]] = {}
    try:
        files = {_file(path): path for path in paths if os.path.lexists(path)}
        names = {os.path.basename(path) for path in files.values()}
        for pid, number in _descriptors() if files else ():
            path = files.get(_locked_file(pid, number, names), "")
            if path:
                having.setdefault(path, set()).add(pid)
    except OSError:
        pass  # the files are gone, or there is no /proc
    return {path: sorted(who) for path, who in having.items()}


_File = tuple[int, int]


def _file(path: str) -> _File:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _locked_file(pid: int, number: str, names: Collection[str]) -> _File:
    """The file with one of these names that a descriptor has locked; zeros if none."""
    descriptor = f"/proc/{pid}/fd/{number}"
    try:
        # The name first, because `stat` of an arbitrary file may wait for a dead file server.
        if os.path.basename(os.readlink(descriptor)) not in names:
            return 0, 0
        with open(f"/proc/{pid}/fdinfo/{number}", "rb") as facts:
            # "lock:   1: FLOCK  ADVISORY  WRITE 8614 00:2b:22593 0 EOF"; a guardian that waits
            # for the lock has the file open too.
            rows = [line.split() for line in facts if line.startswith(b"lock:")]
        return _file(descriptor) if any({b"FLOCK", b"WRITE"} <= {*row} for row in rows) else (0, 0)
    except OSError:
        return 0, 0  # it was closed meanwhile
