"""Mounts: unmounted lazily, so that it succeeds though somebody still uses one.

    open(point), only to know it -> the mount that was recorded? -> umount2(that very mount)

Ordinary users may not unmount; what they mounted by FUSE, `fusermount` unmounts for them.

Tested by: tests/shared/test_mounts.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
from errno import EINVAL, EPERM

from ..._platform import mounts
from ...errors import ArtifactMissing, UsageError
from . import command, kernel_objects, paths
from .base import Recipe, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ...deadline import Deadline
    from .base import AnyPath, Data

_PROGRAMS: Final = ("fusermount3", "fusermount")
_SAME: Final = ("mount", "device", "root", "type", "source")


class MountKind(Trackable):
    """What is mounted at a path; the directory that it is mounted on stays."""

    name = "mount"
    at_path = True
    contains = True
    may_need_scope = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """Take note of what is mounted there, on top if there are several."""
        path = os.path.realpath(paths.resolve(self.name, location))
        if path == "/":  # of a chroot nothing is mounted there, as seen from within
            raise UsageError("what is mounted at / cannot go before the program", kind=self.name)
        found = _look(self.name, path)
        if found is None:
            raise ArtifactMissing(
                f"cannot track the mount {path!r}: nothing is mounted there; mount it first",
                kind=self.name,
                location=path,
            )
        return Recipe(path, {**found, **_program(self.name, path, found)})

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Unmount it, out of sight at once; those who use it keep it until they close it."""
        if not kernel_objects.may_be_here(self.name, location, data, "mnt"):
            return
        opened = mounts.opened(location)
        if opened is None:
            return
        try:
            found = mounts.facts(opened, location)
            if found is None:
                return
            if not _is_same(found, data):
                raise paths.replaced(self.name, location, f"it is {_words(found)} now")
            try:
                mounts.unmount(opened)
            except OSError as error:
                if error.errno == EPERM and data.get("program"):
                    _ask_fusermount(self.name, location, data["program"], deadline)
                elif error.errno != EINVAL or mounts.facts(opened, location) is not None:
                    raise
        finally:
            os.close(opened)

    def describe(self, location: str, data: Data) -> str:
        """What is mounted, and where."""
        return f"{_words(data)} on {location}"


def _look(kind: str, path: str) -> dict[str, object] | None:
    """What is mounted at a path, and in which namespace; `None` if nothing is."""
    try:
        opened = mounts.opened(path)
        if opened is None:
            return None
        try:
            found = mounts.facts(opened, path)
        finally:
            os.close(opened)
    except OSError as error:
        raise kernel_objects.refused(kind, path, str(error), error.errno) from error
    return None if found is None else {**found, **kernel_objects.facts("mnt")}


def _program(kind: str, path: str, found: Data) -> Data:
    """What unmounts it for this user, if the kernel alone does not."""
    if mounts.may_unmount():
        return {}
    if found["type"].partition(".")[0] in ("fuse", "fuseblk"):
        own = f"user_id={os.getuid()}" in found["options"].split(",")
        program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
        if own and program:
            return {"program": os.path.abspath(program)}
        why = "there is no fusermount" if own else "another user has mounted it"
    else:
        why = "only root may unmount it"
    raise kernel_objects.refused(kind, path, why, EPERM)


def _is_same(found: Data, data: Data) -> bool:
    known = {*_SAME, "unique"} if "unique" in found and "unique" in data else _SAME
    return all(found[name] == data[name] for name in known)


def _ask_fusermount(kind: str, location: str, program: str, deadline: Deadline) -> None:
    argv = [program, "-u", "-z", "--", location]
    how = {"cwd": "/", "stdin": subprocess.DEVNULL}
    command.run(kind, location, argv, how, {}, deadline)


def _words(found: Data) -> str:
    return f"{found['source']} ({found['type']})"
