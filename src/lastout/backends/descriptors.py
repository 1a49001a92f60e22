"""Descriptors of what lies in a scope, and what a fork must not do to them.

A `flock` belongs to what was opened, and a fork makes two processes share
that: a child that keeps a parent's descriptor open keeps its lock after the
parent is dead.  So all of them are kept in one set, which a child closes
(never unlocks: that would free the parent's), and no fork comes between the
opening of one and its entry in the set.  Directories are kept there as well:
another thread may fork while one cleans.

Whoever closes all descriptors, as daemons do, closes ours too, and their
numbers are handed out again.  So each remembers which file it is, and is asked
before it is written to or closed.
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

# Long enough for whoever holds it now, and an end for the thread that waits
# while another one forks and is stuck in somebody else's hook.  Going on
# without it risks only that a dead process looks alive to one child.
_PATIENCE: Final = 5.0

_STANDARD: Final = 2  # the last number that has a meaning

_forks = RLock()
_kept: set[PrivateDescriptor] = set()


def lock_out_forks() -> bool:
    """Have no fork happen in this process until `let_in_forks`; whether that was possible."""
    return _forks.acquire(timeout=_PATIENCE)


def let_in_forks(locked_out: bool) -> None:
    """Undo `lock_out_forks`, given what it returned."""
    if locked_out:
        _forks.release()


def close_inherited() -> None:
    """In a forked child: close what the parent holds, without unlocking it."""
    global _forks
    _forks = RLock()
    # By the process that it is of, not once and for all: an interrupted child calls it twice.
    for descriptor in list(_kept):
        if descriptor.owner != os.getpid():
            descriptor.close()


def let_go(number: int) -> None:
    """Close a descriptor: it is closed whatever the system says of it.

    An error here would keep the next one from being closed, and its lock held.
    """
    with suppress(OSError):
        os.close(number)


def _out_of_the_way(number: int) -> int:
    """The same, not as standard input, output or error: in a daemon these may be free.

    Whatever a library prints to 2 would end up in the journal.
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
        path: what to open, relative to `directory`.
        flags: as for `os.open`; it is never inherited by another program.
        directory: the descriptor of a directory.

    Attributes:
        number: the descriptor; -1 when it is closed.
        device: the file system of the file.
        inode: its number there.
        opened: what the system said of the file when it was opened.
        owner: the process that it is of; the others close what they inherit of it.
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
            # Last: whoever finds it in there may use it.
            _kept.add(self)
        finally:
            let_in_forks(locked_out)

    def look(self) -> os.stat_result | None:
        """What the system says of the file; `None` if this is not our descriptor any more."""
        if self.number < 0:
            return None
        try:
            found = os.fstat(self.number)
        except OSError:  # EBADF: somebody closed it
            return None
        return found if self.is_at(found) else None

    def is_at(self, found: os.stat_result) -> bool:
        """Whether that is the same file."""
        return found.st_ino == self.inode and found.st_dev == self.device

    def close(self) -> None:
        """Close it, if it is still ours.  The lock goes when nobody has it open any more."""
        locked_out = lock_out_forks()
        try:
            if self._is_ours():
                let_go(self.number)
            self.number = -1
            _kept.discard(self)
        finally:
            let_in_forks(locked_out)

    def _is_ours(self) -> bool:
        """Whether it is still our descriptor; also where the system does not say so.

        One that stays open keeps its lock, and holds up everybody until we end.
        """
        try:
            return self.number >= 0 and self.is_at(os.fstat(self.number))
        except OSError as error:
            return error.errno != EBADF

    def disown(self) -> None:
        """Forget it without closing: somebody else has closed it, and may use its number."""
        self.number = -1
        _kept.discard(self)
