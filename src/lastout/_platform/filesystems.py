"""File systems: of which type one is, and on which ones a lock can be relied on."""

from __future__ import annotations

import os
import sys

from .files import mount_of
from .imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# File systems of one machine: its kernel keeps their locks, each for as long as its holder
# lives, and all who can see a file there see its locks.  That of an overlay is where its
# upper layer is, which cannot be seen; it is a disk, or memory, of this machine.
RELIABLE: Final = frozenset(
    [
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "reiser4"),
        *("bcachefs", "nilfs2", "ubifs", "jffs2", "ntfs3", "exfat", "vfat", "hfsplus"),
        *("tmpfs", "ramfs", "rootfs", "devtmpfs"),
        # On top of another one: containers, a home that is encrypted.
        *("overlay", "overlayfs", "aufs", "fuse.fuse-overlayfs", "ecryptfs"),
        "fuseblk",  # a program has it, and the disk, for itself
    ]
)

# What fstatfs(2) calls some of them, and some others that a message should name.
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
    """The type of the file system of an open directory; empty if nothing says what it is.

    A type of FUSE has the program's name in it, as in `fuse.sshfs`.
    """
    if sys.platform != "linux":
        return ""
    mount = mount_of(descriptor).partition(":")[2].strip()
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    by_device = ""
    for its_mount, its_number, its_type in _mounted(mounts):
        # A subvolume of btrfs has a device number that its mount has not.
        if its_mount == mount:
            return its_type
        if its_number == number:
            by_device = its_type
    # In a chroot that is no mount itself, its own mount is not listed.
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
    except (ImportError, OSError, AttributeError):  # built without it, or without libffi
        return ""
    magic = ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF
    return _MAGIC.get(magic, f"number {magic:#x}")
