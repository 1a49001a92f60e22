"""POSIX message queues: found by a name, unlinked like a file.

Each is a file of a file system of the kernel's own, which need not be mounted (`/dev/mqueue`):
opening the queue is enough to see device and inode, by which it is known again.

Tested by: tests/shared/test_message_queues.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import os
from errno import ENOSYS, EPERM

from ..._platform import libc
from ...errors import ArtifactMissing, UsageError
from . import kernel_objects, paths
from .base import Recipe, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ...deadline import Deadline
    from .base import AnyPath, Data

_LONGEST: Final = 255  # bytes of a name, without its slash


class MessageQueueKind(Trackable):
    """A POSIX message queue, by its name."""

    name = "message_queue"
    repeatable = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """Take note of the one that is there; with a slash before its name or without."""
        name = _checked(location)
        try:
            found = _look(name)
        except (OSError, NotImplementedError) as error:
            raise kernel_objects.refused(
                self.name, name, f"it cannot be opened: {error}", getattr(error, "errno", ENOSYS)
            ) from error
        if found is None:
            raise ArtifactMissing(
                f"cannot track the message_queue {name!r}: there is none of that name here; make"
                " it first",
                kind=self.name,
                location=name,
            )
        # All lie in one directory like /tmp, where each may remove what is his own.
        if os.geteuid() not in (0, found.st_uid):
            why = f"it belongs to user {found.st_uid}, who alone may remove it"
            raise kernel_objects.refused(self.name, name, why, EPERM)
        return Recipe(name, {**paths.facts(found), **kernel_objects.facts("ipc")})

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Unlink it; those who have it open keep it."""
        if not kernel_objects.may_be_here(self.name, location, data, "ipc"):
            return
        found = _look(location)
        if found is None:
            return
        if (found.st_dev, found.st_ino) != (data["device"], data["inode"]):
            raise paths.replaced(self.name, location, "it is another one")
        try:
            libc.call("mq_unlink", os.fsencode(f"/{location}"))
        except FileNotFoundError:
            return


def _look(name: str) -> os.stat_result | None:
    """The file that the queue is; `None` if there is none.

    Raises:
        OSError: it may neither be read nor written.
    """
    path = os.fsencode(f"/{name}")
    try:
        try:
            opened = libc.call("mq_open", path, os.O_RDONLY)  # the kernel closes it on exec
        except PermissionError:
            opened = libc.call("mq_open", path, os.O_WRONLY)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(opened)
    finally:
        os.close(opened)


def _checked(location: AnyPath) -> str:
    name = ""
    try:
        name = os.fsdecode(location).removeprefix("/")
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= _LONGEST or name in (".", "..") or "/" in name or "\0" in name:
        raise UsageError(
            f"{location!r} cannot be the name of a message_queue: it must have 1 to {_LONGEST}"
            " bytes, no slash but the first, and no NUL",
            kind="message_queue",
        )
    return name
