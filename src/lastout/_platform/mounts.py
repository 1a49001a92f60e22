"""Mounts: what is mounted at a path, from the kernel's table; nothing mounted is touched for it.

Tested by: tests/shared/test_mounts.py
"""

from __future__ import annotations

import os

from . import files, libc, pids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DETACH = 2  # MNT_DETACH: out of sight at once, gone when nobody uses it any more
_SYS_ADMIN = 1 << 21  # CAP_SYS_ADMIN, which mounting takes


def opened(path: str) -> int | None:
    """A descriptor of what is at `path`, to know and unmount it by; `None` if nothing is.

    It opens also where the program behind a mount of FUSE is gone.
    """
    try:
        return os.open(path, files.PASS_THROUGH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None


def facts(descriptor: int, path: str) -> dict[str, str] | None:
    """By what the mount at `path` is known, if `descriptor` is one; else `None`.

    It has `"mount"` (its number, which the next one may get), `"device"`, `"root"`, `"type"`,
    `"source"`, `"options"`, and where the kernel tells it `"unique"`, a number of its own.
    """
    number = files.mount_of(descriptor).partition(":")[2].strip()
    for row in _table():
        if row["mount"] == number and row.pop("point") == path:
            unique = libc.unique_mount_id(descriptor)
            return row if unique is None else {**row, "unique": str(unique)}
    return None


def unmount(descriptor: int) -> None:
    """Take the very mount that `descriptor` is out of sight.

    Raises:
        PermissionError: only another user may.
        OSError: it is locked, or not mounted any more.
    """
    libc.call("umount2", f"/proc/self/fd/{descriptor}".encode(), _DETACH)


def may_unmount() -> bool:
    """Whether this process may unmount whatever is mounted in its namespace."""
    try:
        status = pids.read_all("/proc/self/status")
    except OSError:
        return False
    rights = status.partition(b"\nCapEff:")[2].split(maxsplit=1)
    return bool(rights and int(rights[0], 16) & _SYS_ADMIN)


def _table() -> Iterator[dict[str, str]]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields, _, rest = line.rstrip("\n").partition(" - ")
            mount, _, device, root, point = fields.split(" ")[:5]
            names = "type", "source", "options"
            row = dict(zip(names, [*rest.split(" "), "", ""][:3], strict=True))
            row |= {"mount": mount, "device": device, "root": _plain(root)}
            yield {**row, "source": _plain(row["source"]), "point": _plain(point)}


def _plain(text: str) -> str:
    r"""Without the escapes of the table: space, tab, newline and backslash are `\040` and so on."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])
