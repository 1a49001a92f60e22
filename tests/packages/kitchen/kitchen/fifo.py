"""Named pipes: made where there is none, and known again by their number."""

from __future__ import annotations

import os
import stat

from lastout.errors import ArtifactReplaced, UsageError
from lastout.kinds import AnyPath, Data, Deadline, Recipe, Size, Trackable


class FifoKind(Trackable):
    """A named pipe at a path."""

    name = "fifo"
    at_path = True
    repeatable = True

    def adopt(self, location: AnyPath, /, *, mode: int = 0o600) -> Recipe[None]:
        """The one that is there, or else one with that mode."""
        path = os.path.abspath(os.fsdecode(location))
        if os.path.exists(path):
            return Recipe(path, self._number(path))

        def create() -> tuple[None, Data]:
            os.mkfifo(path, mode)
            return None, self._number(path)

        return Recipe(path, {"mode": mode}, create)

    def _number(self, path: str) -> Data:
        found = os.lstat(path)
        if not stat.S_ISFIFO(found.st_mode):
            raise UsageError(f"{path!r} is no named pipe")
        return {"inode": found.st_ino}

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Unlink it."""
        try:
            found = os.lstat(location)
        except FileNotFoundError:
            return
        if not stat.S_ISFIFO(found.st_mode) or found.st_ino != data.get("inode", found.st_ino):
            raise ArtifactReplaced(f"{location!r} is another one", kind="fifo", location=location)
        os.unlink(location)

    def size(self, location: str, data: Data) -> Size | None:
        """Nothing lies in it."""
        return Size(0) if os.path.exists(location) else None

    def describe(self, location: str, data: Data) -> str:
        """Its path."""
        return f"the pipe {location}"
