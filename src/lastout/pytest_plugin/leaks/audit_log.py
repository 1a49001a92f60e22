"""Audit log: the things that this process and its forked children make, by an audit hook.

The hook sees each temporary directory, shared memory and scope at the moment when it is
made, and in which process.  So nothing has to be guessed from the content of /tmp or
/dev/shm, where other programs make things meanwhile.

Forked children write into the same nameless file.  A program that is started by exec or
spawn does not, so the log misses the things that it makes.

Tested by: tests/pytest_plugin/test_faults.py, tests/pytest_plugin/test_leaks.py
"""

from __future__ import annotations

import os
import sys

from ..._platform.files import path_behind, scratch_file, shared_memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

DIRECTORY: Final = "temporary directory"
SHARED_MEMORY: Final = "shared memory"
SCOPE: Final = "scope"

_SHARED_MEMORY_IN: Final = shared_memory_file("") or "\0"


class AuditLog:
    """The things that were made since the last `take`."""

    def __init__(self) -> None:
        self._log = scratch_file()
        self._inode = os.fstat(self._log).st_ino
        self._read = 0

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        """Log an event of this process, or of a child that was forked from it."""
        kind, path = _seen(event, args)
        try:
            # A child that closed all descriptors may have another file under that number.
            if path and os.fstat(self._log).st_ino == self._inode:
                os.write(self._log, os.fsencode(f"{kind}\0{path}\0"))
        except OSError:
            return  # the child has closed the log, so the event is lost

    def take(self) -> set[tuple[str, str]]:
        """Kind and path of each thing made since the last call."""
        told = os.pread(self._log, os.fstat(self._log).st_size - self._read, self._read)
        self._read += len(told)
        words = os.fsdecode(told).split("\0")[:-1]
        return set(zip(words[::2], words[1::2], strict=True))

    def close(self) -> None:
        """Close the log, and forget what is in it."""
        os.close(self._log)


def _seen(event: str, args: tuple[Any, ...]) -> tuple[str, str]:
    if event == "tempfile.mkdtemp":
        return DIRECTORY, os.fsdecode(args[0])
    if event == "mmap.__new__" and args[0] > 2:
        path = path_behind(args[0])
        return SHARED_MEMORY, path if path.startswith(_SHARED_MEMORY_IN) else ""
    if event == "os.mkdir" and args[2] >= 0:  # in an open directory, as scopes are made
        path = os.path.join(path_behind(args[2]), os.fsdecode(args[0]))
        return SCOPE, path if os.path.isabs(path) else ""
    return "", ""


_EVENTS: Final = frozenset({"tempfile.mkdtemp", "mmap.__new__", "os.mkdir"})
_followed: AuditLog | None = None
_hooked = False


def follow_events(audit_log: AuditLog | None) -> AuditLog | None:
    """Note events in this log from now on; returns the former log.  `None` is no log."""
    global _followed, _hooked
    former, _followed = _followed, audit_log
    if audit_log is not None and not _hooked:
        _hooked = True  # only once, because a hook cannot be removed
        sys.addaudithook(_hook)
    return former


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _followed is not None and event in _EVENTS:
        _followed.note(event, args)
