"""A scope that is held: looking at its members, and cleaning up after them."""

from __future__ import annotations

import os
import stat

from filelock import lock_descriptor

from .._identity import new_token
from ..errors import RootRefused, SystemRefused
from . import descriptors
from .journals import ENDING, delete, read_all, unlink
from .root import check_ours, refusal, refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

    from .descriptors import Descriptor

GARBAGE: Final = "garbage-"
# NONBLOCK: a planted fifo must not stop us.
_LOOK: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_ODD: Final = stat.S_IFMT(0o177777) | 0o022  # of a mode: the type, and who else may write


class HeldDirectory:
    """A scope that this thread holds; see `Held`."""

    __slots__ = ("_directory", "_lock", "_name", "_path", "_root")

    def __init__(self, root: int, directory: int, lock: Descriptor, name: str, path: str) -> None:
        self._root = root
        self._directory = directory
        self._lock = lock
        self._name = name
        self._path = path

    def __enter__(self) -> HeldDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock.number >= 0:
            self._lock.close()
            os.close(self._directory)
            os.close(self._root)

    def members(self) -> list[str]:
        """The tokens of all that have a journal here."""
        with refusals("list the scope", self._path):
            names = os.listdir(self._directory)
        size = len(ENDING)
        return [name[:-size] for name in names if name.endswith(ENDING) and name[0] != "."]

    def is_held(self, member: str) -> bool:
        """Whether somebody holds the lease of this member."""
        return self.end_if_held(member, 0) is not None

    def end_if_held(self, member: str, last: int) -> bytes | None:
        """The last bytes of its journal, `None` if nobody holds its lease; see `Held`."""
        # No fork meanwhile: a child that inherits this would make a dead one look alive.
        locked_out = descriptors.lock_out_forks()
        try:
            probe = os.open(member + ENDING, _LOOK, dir_fd=self._directory)
            try:
                if lock_descriptor(probe, blocking=False):
                    return None
                found = os.fstat(probe)
                self._check(found, member)
                return os.pread(probe, last, max(0, found.st_size - last))
            finally:
                os.close(probe)
        except FileNotFoundError:
            return None
        except OSError as error:
            if isinstance(error, RootRefused):
                raise
            raise refusal(error, "look at", self._journal(member)) from error
        finally:
            descriptors.let_in_forks(locked_out)

    def read(self, member: str, last: int | None = None) -> bytes:
        """What stands in its journal, or its last bytes."""
        with refusals("read", self._journal(member)):
            number = self._open(member, os.O_RDONLY)
            try:
                return read_all(number, last)
            finally:
                os.close(number)

    def append(self, member: str, records: bytes) -> None:
        """Add to the journal of another member."""
        with refusals("write", self._journal(member)):
            number = self._open(member, os.O_WRONLY | os.O_APPEND)
            try:
                if os.write(number, records) != len(records):
                    raise SystemRefused(
                        f"cannot write all of {self._journal(member)!r}; free some space",
                        path=self._journal(member),
                    )
            finally:
                os.close(number)

    def forget(self, member: str) -> None:
        """Remove the journal of a member that is gone."""
        with refusals("remove", self._journal(member)):
            unlink(member + ENDING, self._directory)

    def sweep(self) -> None:
        """Remove the scope."""
        garbage = GARBAGE + new_token()
        with refusals("remove the scope", self._path):
            os.rename(self._name, garbage, src_dir_fd=self._root, dst_dir_fd=self._root)
            delete(self._root, garbage, os.path.join(os.path.dirname(self._path), garbage))

    def _journal(self, member: str) -> str:
        return os.path.join(self._path, member + ENDING)

    def _open(self, member: str, flags: int) -> int:
        flags |= _LOOK
        try:
            number = os.open(member + ENDING, flags, dir_fd=self._directory)
        except OSError as error:
            check_ours(os.lstat(self._journal(member)), self._journal(member))
            raise error
        try:
            self._check(os.fstat(number), member)
        except BaseException:
            os.close(number)
            raise
        return number

    def _check(self, found: os.stat_result, member: str) -> None:
        if found.st_uid == os.geteuid() and found.st_mode & _ODD == stat.S_IFREG:
            return  # the usual case, for which no text is put together
        check_ours(found, self._journal(member))
        if not stat.S_ISREG(found.st_mode):
            raise RootRefused(
                f"will not read {self._journal(member)!r}: it is not a file; remove it",
                path=self._journal(member),
            )
