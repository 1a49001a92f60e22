"""File systems: the type of a file system, and the types on which locks can be relied on.

Tested by: tests/test_filesystems.py
"""

from __future__ import annotations

import os
import sys

from .files import mount_of
from .imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# File systems of one machine.  Its kernel keeps each lock for as long as the holder lives, and
# every process that can see a file sees its locks.  The file system of an overlay's upper layer
# cannot be seen, but is on a disk, or in memory, of this machine.
RELIABLE: Final = frozenset(
    [
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "reiser4"),
        *("bcachefs", "nilfs2", "ubifs", "jffs2", "ntfs3", "exfat", "vfat", "hfsplus"),
        *("tmpfs", "ramfs", "rootfs", "devtmpfs"),
        # On top of another file system: containers, an encrypted home.
        *("overlay", "overlayfs", "aufs", "fuse.fuse-overlayfs", "ecryptfs"),
        "fuseblk",  # one program serves it, and has the disk for itself
    ]
)

# The numbers by which fstatfs(2) names some of these, and further types for messages.
_MAGIC: Final = {
    0x0000EF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0x3153464A: "jfs",
    0x52654973: "reiserfs",
    0xCA451A4E: "bcachefs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlay",
    0x00006969: "nfs",
    0x01021997: "9p",
    0x65735546: "fuse",
    0xFE534D42: "smb3",
}


def file_system_of(descriptor: int, mounts: str = "/proc/self/mountinfo") -> str:
    """The type of the file system of an open directory; empty if unknown.

    A type of FUSE contains the program's name, as in `fuse.sshfs`.
    """
    if sys.platform != "linux":
        return ""
    mount = mount_of(descriptor).partition(":")[2].strip()
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    by_device = ""
    for its_mount, its_number, its_type in _mounted(mounts):
        # By the mount first, as a subvolume of btrfs has another device number than its mount.
        if its_mount == mount:
            return its_type
        if its_number == number:
            by_device = its_type
    # In a chroot that is not itself a mount, the table does not list the mount of the root.
    return by_device or _by_magic(descriptor)


def _mounted(mounts: str) -> Iterator[tuple[str, str, str]]:
    """Id, device number and type of each mount."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                fields, _, rest = line.partition(" - ")
                mount, _, number = fields.split(" ", 3)[:3]
                yield mount, number, rest.split(" ", 1)[0]
    except OSError:
        return  # no /proc


def _by_magic(descriptor: int) -> str:
    try:
        load("ctypes")
        import ctypes

        found = ctypes.create_string_buffer(512)  # larger than `struct statfs` is anywhere
        if ctypes.CDLL(None).fstatfs(descriptor, found):
            return ""
    except (ImportError, OSError, AttributeError):  # built without ctypes, or without libffi
        return ""
    magic = ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF
    return _MAGIC.get(magic, f"number {magic:#x}")
