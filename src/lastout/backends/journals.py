"""Journals as files: making, writing, reading and removing them.

Tested by: tests/backends/test_local.py
"""

from __future__ import annotations

__lazy_modules__ = ["filelock"]  # from 3.15: loaded for the first lock

import os
from errno import ENOTEMPTY

from filelock import lock_descriptor, unlock_descriptor

from .._platform.genuine import UnpatchedModule
from ..errors import RootRefused, ScopeGone, SystemRefused
from ..layout import JOURNAL, UNPUBLISHED
from .descriptors import PrivateDescriptor
from .root import open_directory, refusal, refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_time = UnpatchedModule("time")
_LOOKS: Final = 100
_NEW: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL


class FileJournalLock:
    """A member's own journal; see `JournalLock`.

    Attributes:
        member: the token of the member.
        descriptor: the file, open and locked.
    """

    __slots__ = ("_path", "descriptor", "member")

    def __init__(
        self, directory: PrivateDescriptor, member: str, records: bytes, path: str
    ) -> None:
        self.member = member
        self._path = os.path.join(path, member + JOURNAL)
        hidden = f".{member}{UNPUBLISHED}"
        place = directory.number
        self.descriptor = PrivateDescriptor(hidden, _NEW, place)
        try:
            # Published only when it is locked, because a visible journal that is not locked
            # means a dead member.
            if not lock_descriptor(self.descriptor.number, blocking=False):
                raise RootRefused(f"somebody locks our new journals in {path!r}", path=path)
            self._write(records)
            os.rename(hidden, member + JOURNAL, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            self.descriptor.close()
            unlink(hidden, place)
            raise

    @property
    def lost(self) -> bool:
        """Whether this process lost the lock of its journal and could not take it back."""
        return not self._mine()

    def append(self, records: bytes) -> None:
        """Append to the journal; raises an error unless all bytes were written."""
        # The usual case of `_mine`, written out, because this is the hot path of recording.
        ours = self.descriptor
        try:
            found = os.fstat(ours.number)
            fine = found.st_ino == ours.inode and found.st_dev == ours.device and found.st_nlink
        except OSError:
            fine = 0
        if not fine and not self._mine():
            raise ScopeGone(
                f"the journal {self._path!r} of this process was removed, or its descriptor closed"
                " and the file locked by somebody else; nothing new can be recorded."
                " Join the scope anew",
                path=self._path,
            )
        self._write(records)

    def _write(self, records: bytes) -> None:
        try:
            written = os.write(self.descriptor.number, records)
        except OSError as error:
            raise refusal(error, "write", self._path) from error
        if written != len(records):
            # The part stays, and readers skip it, because the next write begins a new line.
            raise SystemRefused(
                f"cannot write {self._path!r}: only {written} of {len(records)} bytes went in;"
                " free some space",
                path=self._path,
            )

    def read(self) -> bytes:
        """The content of the journal, even if the file has lost its name."""
        if not self.descriptor.look() and not self._mine():
            raise ScopeGone(f"the journal {self._path!r} is gone", path=self._path)
        with refusals("read", self._path):
            return read_all(self.descriptor.number)

    def size(self) -> int:
        """The size of the journal; -1 if unknown."""
        found = self.descriptor.look()
        return found.st_size if found else -1

    def fileno(self) -> int:
        """The descriptor that holds the lock; a program that has it open counts as the member."""
        return self.descriptor.number

    def inherit(self) -> None:
        """Keep the journal open in this forked child."""
        self.descriptor.owner = os.getpid()

    def close(self) -> None:
        """Close the journal in this process; another process that has it open keeps the lock."""
        self.descriptor.close()

    def give_up(self) -> None:
        """Unlock the journal in every process, because this member is not alive any more.

        Closing would not do, because a program that is just being started has, for a
        moment, all descriptors of its parent.
        """
        if self.descriptor.look():
            unlock_descriptor(self.descriptor.number)
        self.descriptor.close()

    def _mine(self) -> bool:
        found = self.descriptor.look()
        if found:
            return found.st_nlink > 0
        return self.descriptor.number >= 0 and self._take_back()

    def _take_back(self) -> bool:
        """Open and lock the journal again after the program has closed all its descriptors.

        Fails if another process has locked the journal since, because it takes this member
        for dead.
        """
        lost = self.descriptor
        try:
            again = PrivateDescriptor(self._path, os.O_RDWR | os.O_APPEND)
        except OSError:
            return False
        found = again.look()
        if found and lost.is_at(found) and _lock_soon(again):
            lost.disown()
            self.descriptor = again
            return True
        again.close()
        return bool(self.descriptor.look())  # another thread may have been faster


def _lock_soon(descriptor: PrivateDescriptor) -> bool:
    """Lock it, with some patience, because a process that probes the lock holds it for a moment."""
    for _ in range(20):
        if lock_descriptor(descriptor.number, blocking=False):
            return True
        _time.sleep(0.001)
    return False


def read_all(number: int) -> bytes:
    """All bytes of a file."""
    parts: list[bytes] = []
    at = 0
    while part := os.pread(number, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def unlink(name: str, directory: int) -> None:
    """Remove a file, if it exists."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return


def delete(root: PrivateDescriptor, garbage: str, path: str, scope: str) -> OSError | None:
    """Delete a swept scope; returns the reason if it could not be deleted."""
    doing = f"delete what is left of the scope {scope!r},"
    try:
        with refusals(doing, path):
            _delete(root, garbage, path, doing)
    except OSError as error:
        return error
    return None


def _delete(root: PrivateDescriptor, garbage: str, path: str, doing: str) -> None:
    # Only files are deleted, and no link is followed; another process may be deleting too.
    for _ in range(_LOOKS):
        directory = open_directory(garbage, root, path)
        if directory is None:
            return
        try:
            for name in os.listdir(directory.number):
                with refusals(doing, f"{path}/{name}"):
                    unlink(name, directory.number)
        finally:
            directory.close()
        try:
            os.rmdir(garbage, dir_fd=root.number)
        except FileNotFoundError:
            return
        except OSError as error:
            # A process that opened the scope to join it before it was moved has made a lock file.
            if error.errno != ENOTEMPTY:
                raise
