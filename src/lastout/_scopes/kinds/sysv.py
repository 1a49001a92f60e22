"""System V IPC: shared memory, semaphores and message queues, known by their numbers.

    "shm:65538"    shmctl(65538, IPC_RMID)        as in `ipcs -m`
    "sem:3"        semctl(3, 0, IPC_RMID)                `ipcs -s`
    "msg:0"        msgctl(0, IPC_RMID)                   `ipcs -q`

The kernel gives a number again after some four million others, and begins anew with each boot and
in each IPC namespace.  So an object is known again by all that does not change about it.

Tested by: tests/shared/test_sysv.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import os
from errno import EIDRM, EINVAL, EPERM

from ..._platform import libc
from ...errors import ArtifactMissing, UsageError
from . import kernel_objects, paths
from .base import Recipe, Size, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ...deadline import Deadline
    from .base import AnyPath, Data

    Row = dict[str, int]

_IPC_RMID: Final = 0
_REMOVED: Final = 0o1000  # SHM_DEST: shared memory that goes when nobody is attached any more
# What never changes.  A new owner or mode changes `ctime`; but for semaphores so does each
# semctl(SETVAL), with which all begin.
_SAME: Final = {
    "shm": ("key", "cuid", "cgid", "cpid", "size", "ctime"),
    "sem": ("key", "cuid", "cgid", "nsems"),
    "msg": ("key", "cuid", "cgid", "ctime"),
}
_ARGUMENTS: Final[dict[str, tuple[object, ...]]] = {
    "shm": (_IPC_RMID, None),
    "sem": (0, _IPC_RMID),
    "msg": (_IPC_RMID, None),
}
_GONE: Final = (EINVAL, EIDRM)


class SysvKind(Trackable):
    """Shared memory, a set of semaphores or a message queue of System V."""

    name = "sysv"
    repeatable = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """Take note of one that is there; `location` is such as `"shm:65538"`."""
        text = os.fsdecode(location)
        sort, number = _parsed(text)
        text = f"{sort}:{number}"
        try:
            row = _look(sort, number)
        except FileNotFoundError as error:
            why = "the system does not tell what there is, in /proc/sysvipc"
            raise kernel_objects.refused(self.name, text, why, error.errno) from error
        if row is None:
            raise ArtifactMissing(
                f"cannot track the sysv {text!r}: there is none of that number here; `ipcs` tells"
                " which there are",
                kind=self.name,
                location=text,
            )
        # Before another user cleans in vain; CAP_SYS_ADMIN, which allows it too, is root's.
        if os.geteuid() not in (0, row["uid"], row["cuid"]):
            why = f"it belongs to user {row['uid']}, who alone may remove it"
            raise kernel_objects.refused(self.name, text, why, EPERM)
        return Recipe(text, {name: row[name] for name in _SAME[sort]} | kernel_objects.facts("ipc"))

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Remove it; shared memory stays with those who are attached, without its number."""
        if not kernel_objects.may_be_here(self.name, location, data, "ipc"):
            return
        sort, number = _parsed(location)
        row = _look(sort, number)
        if row is None:
            return
        if any(row[name] != data[name] for name in _SAME[sort]):
            raise paths.replaced(self.name, location, "another one has its number")
        try:
            libc.call(f"{sort}ctl", number, *_ARGUMENTS[sort])
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def size(self, location: str, data: Data) -> Size | None:
        """Bytes of shared memory, or of what waits in a queue."""
        sort, number = _parsed(location)
        row = _look(sort, number)
        bytes_of = {"shm": "size", "msg": "cbytes"}
        return Size(row[bytes_of[sort]]) if row and sort in bytes_of else None


def _parsed(location: str) -> tuple[str, int]:
    sort, _, number = location.partition(":")
    if sort in _SAME and number.isdecimal() and number.isascii() and len(number) < 12:
        value = int(number)
        if value < 2**31:
            return sort, value
    raise UsageError(
        f"{location!r} names nothing of System V: it must be shm, sem or msg, a colon and its"
        " number, such as 'shm:65538'",
        kind="sysv",
    )


def _look(sort: str, number: int) -> Row | None:
    """What the kernel says of it; `None` if it is not there, or is gone but for who uses it.

    Raises:
        FileNotFoundError: there is no /proc, or no System V IPC.
    """
    with open(f"/proc/sysvipc/{sort}", encoding="ascii") as table:
        names = next(table).split()
        for line in table:
            fields = line.split()
            if fields[1] == str(number):
                row = {name: int(field) for name, field in zip(names, fields, strict=False)}
                row["perms"] = int(fields[2], 8)  # the one number that is not decimal
                return None if row["perms"] & _REMOVED else row
    return None
