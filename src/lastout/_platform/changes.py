"""Waking when a directory changes: a file is made, written, closed or deleted.

Linux reports changes by inotify.  The last close of a journal is such a change, so
the death of any member is reported too.  On other systems a wait just takes its time.

Tested by: tests/test_changes.py
"""

from __future__ import annotations

import os
import select
import struct
import sys
from time import monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Final, Self

# linux/inotify.h
_MODIFY: Final = 0x2
_CLOSE_WRITE: Final = 0x8
_MOVED: Final = 0xC0
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_ONLY_DIRECTORIES: Final = 0x01000000
_WANTED: Final = _MODIFY | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE | _ONLY_DIRECTORIES
_HEAD: Final = struct.Struct("iIII")  # watch, what, cookie, length of the name that follows


class DirectoryChanges:
    """The changes in some directories; a context manager.

    Args:
        ignored: the name of a file whose changes do not count.
    """

    def __init__(self, ignored: str) -> None:
        self._ignored = ignored.encode()
        self._queue = -1
        if sys.platform == "linux":
            import ctypes

            self._libc = ctypes.CDLL(None, use_errno=True)
            self._queue = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._queue >= 0:
            os.close(self._queue)

    def follow(self, paths: Iterable[str]) -> None:
        """Wake for these paths too; a missing path, or a path followed already, is ignored."""
        if self._queue >= 0:
            for path in paths:
                self._libc.inotify_add_watch(self._queue, os.fsencode(path), _WANTED)

    def wait(self, seconds: float) -> bool:
        """Wait for a change, `seconds` at most; `False` if there was certainly none."""
        if self._queue < 0:
            sleep(seconds)
            return True
        poll, end = select.poll(), monotonic() + seconds
        poll.register(self._queue, select.POLLIN)
        while poll.poll(max(0.0, end - monotonic()) * 1000):
            if self._matters():
                return True
        return False

    def _matters(self) -> bool:
        events, at, matters = os.read(self._queue, 65536), 0, False
        while at < len(events):
            *_, length = _HEAD.unpack_from(events, at)
            at += _HEAD.size
            matters |= events[at : at + length].rstrip(b"\0") != self._ignored
            at += length
        return matters
