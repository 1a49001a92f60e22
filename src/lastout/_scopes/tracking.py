"""Tracking: taking over what exists already, made by whomever."""

from __future__ import annotations

import os
import stat

from .._platform.imports import load
from ..errors import ArtifactMissing, UsageError
from .kinds import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kinds.makers import Prepared
    from .kinds.paths import AnyPath


def prepare(kind: str, location: AnyPath) -> Prepared:
    """Look at something that exists, and take note of what it is.

    `"file"` may be anything but a directory; a symbolic link is removed itself,
    not what it points to.

    Raises:
        ArtifactMissing: nothing is there.
        UsageError: it is not of that kind, or that kind cannot be handed over.
    """
    if kind not in paths.TYPES:
        known = ", ".join(sorted(paths.TYPES))
        raise UsageError(f"cannot track a {kind!r}; only {known}", kind=kind)
    path, found = _look(kind, location)
    if found is None:
        raise ArtifactMissing(
            f"cannot track the {kind} {path!r}: nothing is there; make it first, or let the scope"
            " make it",
            kind=kind,
            location=path,
        )
    is_right = paths.TYPES[kind](found.st_mode) or (
        kind == "file" and not stat.S_ISDIR(found.st_mode)
    )
    if not is_right:
        raise UsageError(
            f"cannot track {path!r} as a {kind}: it is a {paths.type_name(found)}", kind=kind
        )
    return path, {**paths.facts(found), "type": stat.S_IFMT(found.st_mode)}


def _look(kind: str, location: AnyPath) -> tuple[str, os.stat_result | None]:
    if kind not in ("shared_memory", "semaphore"):
        path = paths.resolve(kind, location)
        return path, paths.look(path)
    load("lastout._scopes.kinds.shared_memory")
    from .kinds import shared_memory

    name = os.fsdecode(location).removeprefix("/")
    return name, shared_memory.look(kind, name)
