"""A locked scope in a directory: its journals and further locks.

Tested by: tests/backends/test_local.py, tests/shared/test_recovery.py
"""

from __future__ import annotations

import os
import stat

from .._identity import new_token
from ..errors import RootRefused, SystemRefused
from ..layout import GARBAGE, JOURNAL
from . import descriptors, locks
from .descriptors import PrivateDescriptor
from .journals import FileJournalLock, delete, read_all, unlink
from .root import check_ours, refusal, refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from ..deadline import Deadline


class LockedDirectory:
    """A scope that this thread has locked; see `LockedScope`."""

    __slots__ = ("_directory", "_lock", "_name", "_path", "_root")

    def __init__(
        self,
        root: PrivateDescriptor,
        directory: PrivateDescriptor,
        lock: PrivateDescriptor,
        name: str,
        path: str,
    ) -> None:
        self._root = root
        self._directory = directory
        self._lock = lock
        self._name = name
        self._path = path

    def __enter__(self) -> LockedDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()
        self._directory.close()
        self._root.close()

    def let_go(self) -> None:
        """Unlock the scope for other processes, until `take_again`."""
        locks.unlock(self._lock)

    def take_again(self, deadline: Deadline) -> bool:
        """Lock the scope again; `False` if the scope does not exist any more."""
        if not self._lock.look() or not self._directory.look():
            return False  # the program closed all descriptors, and may have reused the numbers
        with refusals("use the scope", self._path):
            locks.wait_for(self._lock, self._path, deadline)
            return locks.still_there(self._name, self._root, self._directory)

    def take(self, name: str) -> locks.FileLock | None:
        """Take a further lock in this scope; `None` if another process has it."""
        with refusals("lock", os.path.join(self._path, name)):
            return locks.take(self._directory, name, self._path)

    def is_taken(self, name: str) -> bool:
        """Whether another process has the further lock of this name."""
        with refusals("look at", os.path.join(self._path, name)):
            return locks.is_taken(self._directory, name)

    def members(self) -> list[str]:
        """The tokens of all members with a journal in this scope."""
        with refusals("list the scope", self._path):
            names = os.listdir(self._directory.number)
        size = len(JOURNAL)
        return [name[:-size] for name in names if name.endswith(JOURNAL) and name[0] != "."]

    def is_held(self, member: str) -> bool:
        """Whether a process holds the lock of this member's journal."""
        # Without forks, because a child that inherits `probe` would keep the journal locked, and
        # make a dead member look alive.
        locked_out = descriptors.lock_out_forks()
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            probe = os.open(member + JOURNAL, flags, dir_fd=self._directory.number)
            try:
                return locks.has_lock(probe)
            finally:
                descriptors.let_go(probe)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise refusal(error, "look at", self._journal(member)) from error
        finally:
            descriptors.let_in_forks(locked_out)

    def publish(self, member: str, records: bytes) -> FileJournalLock:
        """Make the journal of a new member; see `LockedScope`."""
        with refusals("write a journal in the scope", self._path):
            return FileJournalLock(self._directory, member, records, self._path)

    def read(self, member: str) -> bytes:
        """The content of a member's journal."""
        with refusals("read", self._journal(member)):
            journal = self._open(member, os.O_RDONLY)
            try:
                return read_all(journal.number)
            finally:
                journal.close()

    def size(self, member: str) -> int:
        """The size of a member's journal; -1 if unknown."""
        try:
            return os.lstat(member + JOURNAL, dir_fd=self._directory.number).st_size
        except OSError:
            return -1

    def append(self, member: str, records: bytes) -> None:
        """Append to the journal of another member."""
        with refusals("write", self._journal(member)):
            journal = self._open(member, os.O_WRONLY | os.O_APPEND)
            try:
                if os.write(journal.number, records) != len(records):
                    raise SystemRefused(
                        f"cannot write all of {self._journal(member)!r}; free some space",
                        path=self._journal(member),
                    )
            finally:
                journal.close()

    def forget(self, member: str) -> None:
        """Remove the journal of a member that has ended."""
        with refusals("remove", self._journal(member)):
            unlink(member + JOURNAL, self._directory.number)

    def sweep(self) -> OSError | None:
        """Remove the scope; returns the reason if its remains could not be deleted."""
        garbage = f"{GARBAGE}{new_token()}-{self._name}"
        root = self._root.number
        with refusals("remove the scope", self._path):
            os.rename(self._name, garbage, src_dir_fd=root, dst_dir_fd=root)
        place = os.path.dirname(self._path)
        return delete(self._root, garbage, os.path.join(place, garbage), self._name)

    def _journal(self, member: str) -> str:
        return os.path.join(self._path, member + JOURNAL)

    def _open(self, member: str, flags: int) -> PrivateDescriptor:
        # NONBLOCK, because opening a fifo, put there by another program, would block for ever.
        flags |= os.O_NONBLOCK
        try:
            journal = PrivateDescriptor(member + JOURNAL, flags, self._directory.number)
        except OSError as error:
            check_ours(os.lstat(self._journal(member)), self._journal(member))
            raise error
        try:
            check_ours(journal.opened, self._journal(member))
            if not stat.S_ISREG(journal.opened.st_mode):
                raise RootRefused(
                    f"will not read {self._journal(member)!r}: it is not a file; remove it",
                    path=self._journal(member),
                )
        except BaseException:
            journal.close()
            raise
        return journal
