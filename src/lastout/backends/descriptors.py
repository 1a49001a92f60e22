"""Descriptors of files and directories in a scope, which forked children must not keep.

A `flock` belongs to an open file description, which a fork makes two processes
share: a child that keeps a parent's descriptor open keeps its lock after the
parent is dead.  So one set holds all these descriptors.  A child closes them (and
never unlocks them, because that would unlock the parent's), and no fork comes
between the opening of a descriptor and its entry in the set.  The set holds
directories too, because a thread may fork while another cleans.

A program that closes all descriptors, as daemons do, closes these too, and the
system hands their numbers out again.  So each `PrivateDescriptor` remembers which
file it is, and compares before it is written to or closed.

Tested by: tests/backends/test_local.py, tests/shared/test_handover.py
"""

from __future__ import annotations

import os
from _thread import RLock  # not from `threading`, where gevent puts its own
from contextlib import suppress
from errno import EBADF
from fcntl import F_DUPFD_CLOEXEC, fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Long enough for the thread that holds the lock, but limited, because a thread that forks may
# hang in a hook of the program.  Going on without the lock risks only that one child keeps the
# lock of a dead process.
_PATIENCE: Final = 5.0

_STANDARD: Final = 2  # the last descriptor with a fixed meaning, standard error

_forks = RLock()
_kept: set[PrivateDescriptor] = set()


def lock_out_forks() -> bool:
    """Keep this process from forking until `let_in_forks`; returns whether that was possible."""
    return _forks.acquire(timeout=_PATIENCE)


def let_in_forks(locked_out: bool) -> None:
    """Undo `lock_out_forks`, given what it returned."""
    if locked_out:
        _forks.release()


def close_inherited() -> None:
    """In a forked child, close the parent's descriptors without unlocking them."""
    global _forks
    _forks = RLock()
    # By their owner, because a child in which Ctrl-C interrupts this calls it a second time.
    for descriptor in list(_kept):
        if descriptor.owner != os.getpid():
            descriptor.close()


def let_go(number: int) -> None:
    """Close a descriptor, and ignore errors, because it is closed in any case.

    An error would keep the next descriptor open, and its file locked.
    """
    with suppress(OSError):
        os.close(number)


def _out_of_the_way(number: int) -> int:
    """Move a descriptor off standard input, output and error, which are free in some daemons.

    Otherwise the output that a library prints to 2 would end up in the journal.
    """
    if number > _STANDARD:
        return number
    try:
        return fcntl(number, F_DUPFD_CLOEXEC, _STANDARD + 1)
    finally:
        os.close(number)


class PrivateDescriptor:
    """A descriptor that forked children do not keep.

    Args:
        path: the file or directory to open, relative to `directory`.
        flags: as for `os.open`; another program never inherits the descriptor.
        directory: the descriptor of a directory.

    Attributes:
        number: the descriptor; -1 when it is closed.
        device: the file system of the file.
        inode: its number there.
        opened: the result of `os.fstat` when the file was opened.
        owner: the process that may keep it open; any other closes an inherited copy.
    """

    __slots__ = ("device", "inode", "number", "opened", "owner")

    def __init__(self, path: str, flags: int, directory: int | None = None) -> None:
        self.owner = os.getpid()
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        locked_out = lock_out_forks()
        try:
            self.number = _out_of_the_way(os.open(path, flags, 0o600, dir_fd=directory))
            try:
                self.opened = os.fstat(self.number)
            except OSError:
                let_go(self.number)
                raise
            self.device, self.inode = self.opened.st_dev, self.opened.st_ino
            # Last, because a thread that finds it in the set may use it.
            _kept.add(self)
        finally:
            let_in_forks(locked_out)

    def look(self) -> os.stat_result | None:
        """The result of `os.fstat`; `None` if the number does not mean this file any more."""
        if self.number < 0:
            return None
        try:
            found = os.fstat(self.number)
        except OSError:  # EBADF: the program closed it
            return None
        return found if self.is_at(found) else None

    def is_at(self, found: os.stat_result) -> bool:
        """Whether the result of a `stat` is of this file."""
        return found.st_ino == self.inode and found.st_dev == self.device

    def close(self) -> None:
        """Close it, if it still is this file; the lock ends with the last process that has it."""
        locked_out = lock_out_forks()
        try:
            if self._is_ours():
                let_go(self.number)
            self.number = -1
            _kept.discard(self)
        finally:
            let_in_forks(locked_out)

    def _is_ours(self) -> bool:
        """Whether the number still means this file, or may mean it, because `fstat` failed.

        In doubt it is closed, because a descriptor that stays open keeps its lock, and blocks
        every other process until this process ends.
        """
        try:
            return self.number >= 0 and self.is_at(os.fstat(self.number))
        except OSError as error:
            return error.errno != EBADF

    def disown(self) -> None:
        """Forget it without closing it, because the program closed it and may reuse the number."""
        self.number = -1
        _kept.discard(self)
