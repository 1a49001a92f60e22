"""Locks on files that have lost their name: who of a directory that was removed still lives."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_FIRST_NAMESPACE: Final = 0xEFFFFFFC  # the inode of that of pids in which the machine began
_LOOKS: Final = 20


def nameless_locks(descriptor: int) -> list[str] | None:
    """What nameless files beside that one were called, if somebody holds a `flock` on them.

    Args:
        descriptor: a file on which this process holds one, of the file system in question.

    Returns:
        Their former paths, with `" (deleted)"` at their end; `None` where that cannot be
        told, because not all processes of this machine can be seen.
    """
    if sys.platform != "linux":
        return None
    hidden: set[int] = set()
    for _ in range(_LOOKS):
        try:
            locked = _locked_beside(descriptor)
            seen = dict(_open_files(os.fstat(descriptor).st_dev))
        except OSError:
            return None
        if locked is None or locked & hidden - seen.keys():
            return None
        # Locks come and go: what is not seen counts only if it is still there at the next look.
        hidden = locked - seen.keys()
        if not hidden:
            return [seen[inode] for inode in locked if seen[inode]]
    return None


def _locked_beside(descriptor: int) -> set[int] | None:
    """The inodes of other locked files on its file system; `None` if some may be hidden."""
    if os.stat("/proc/self/ns/pid").st_ino != _FIRST_NAMESPACE:
        return None  # the locks of processes outside of ours are not listed
    ours = os.fstat(descriptor).st_ino
    with open("/proc/locks", encoding="ascii") as table:
        # "1: FLOCK  ADVISORY  WRITE 8614 00:2b:22593 0 EOF"; those that wait have an arrow.
        rows = [line.split() for line in table]
    files = [row[5].rpartition(":") for row in rows if row[1] == "FLOCK"]
    # By how the table calls its file system: btrfs has other device numbers for its files.
    devices = {device for device, _, inode in files if int(inode) == ours}
    if len(devices) != 1:
        return None
    return {int(inode) for device, _, inode in files if device in devices} - {ours}


def _open_files(device: int) -> Iterator[tuple[int, str]]:
    """The files of a file system that processes have open: inode, and former path if nameless."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        folder = f"/proc/{pid}/fd"
        try:
            numbers = os.listdir(folder)
        except OSError:
            continue  # it has ended, or is somebody else's
        for number in numbers:
            try:
                found = os.stat(f"{folder}/{number}")
                if found.st_dev == device:
                    named = found.st_nlink > 0
                    yield found.st_ino, "" if named else os.readlink(f"{folder}/{number}")
            except OSError:
                continue  # it was closed meanwhile
