"""Containers: removed by the engine that they run in, docker or podman, whatever state they are in.

"web-1"         the container of that name or id; known again by its id
"label=run=7"   all that have the label when it is cleaned, be there none yet

ps --all -> those that were recorded -> rm --force --volumes -> ps --all: none of them left

Tested by: tests/shared/test_containers.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import os
import re
import shutil
from time import sleep

from ...deadline import Deadline
from ...errors import ArtifactMissing, CleanupFailed, UsageError
from . import kernel_objects, paths, tools
from .base import Recipe, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .base import AnyPath, Data

_ENGINES: Final = ("docker", "podman")
_LABEL: Final = "label="
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
# By which the engine's program finds the engine; the cleaner's may lead to another one.
_VARIABLES: Final = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    *("CONTAINER_HOST", "CONTAINER_CONNECTION", "XDG_RUNTIME_DIR", "HOME"),
)
_PASSWORD: Final = re.compile(r"//[^/]*:[^/]*@")
_TIME_TO_LOOK: Final = 30.0  # seconds
_ROUNDS, _PAUSE = 25, 0.2  # while somebody else removes one, the engine refuses to


class ContainerKind(Trackable):
    """Containers of docker or podman, by name, id or label."""

    name = "container"
    may_need_scope = True

    def adopt(self, location: AnyPath, /, *, engine: str | None = None) -> Recipe[None]:
        """Take note of a container that is there, or of a label.

        Args:
            location: its name or id, or `label=KEY` or `label=KEY=VALUE`.
            engine: the program to ask, such as `"podman"`; docker or else podman for `None`.
        """
        if not isinstance(location, str):
            raise TypeError(f"a container is named by text, not {location!r}")
        _check(location)
        data = {"engine": _engine(engine), "env": _environment()}
        try:
            found = _list(self.name, location, data, Deadline(_TIME_TO_LOOK))
        except CleanupFailed as error:
            raise kernel_objects.refused(self.name, location, str(error), None) from error
        if location.startswith(_LABEL):
            return Recipe(location, data)
        ids = _ids_of(location, found)
        if not ids:
            raise ArtifactMissing(
                f"cannot track the container {location!r}: {data['engine']} has none of that name"
                " or id",
                kind=self.name,
                location=location,
            )
        if len(ids) > 1:
            raise UsageError(f"{location!r} is the beginning of several ids", kind=self.name)
        return Recipe(location, {**data, "id": ids[0]})

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Stop and remove it, with the volumes that have no name."""
        failure: CleanupFailed | None = None
        for _ in range(_ROUNDS):
            found = _list(self.name, location, data, deadline)
            left = [one for one in found if data.get("id") in (None, one)]
            if not left:
                break
            try:
                argv = [data["engine"], "rm", "--force", "--volumes", *left]
                tools.output_of(self.name, location, argv, data["env"], deadline)
            except CleanupFailed as error:
                failure = error
                if deadline.passed():
                    raise
                sleep(_PAUSE)
        else:
            raise failure or _still_made(location)
        if "id" in data and location in {name for names in found.values() for name in names}:
            raise paths.replaced(self.name, location, "another one has its name")

    def describe(self, location: str, data: Data) -> str:
        """Which one, and of which engine."""
        return f"{location} ({os.path.basename(data['engine'])})"


def _check(location: str) -> None:
    label = location.removeprefix(_LABEL)
    if label != location:
        good = bool(label.partition("=")[0]) and label.isprintable()
    else:
        good = _NAME.fullmatch(location) is not None
    if not good:
        raise UsageError(
            f"{location!r} names no container: it must be a name, an id, or label=KEY=VALUE",
            kind="container",
        )


def _engine(name: str | None) -> str:
    """The program's full path."""
    asked = _ENGINES if name is None else (name,)
    program = next(filter(None, map(shutil.which, asked)), None)
    if program is None:
        raise UsageError(f"there is no program {' or '.join(asked)} here", kind="container")
    return os.path.abspath(program)


def _environment() -> dict[str, str]:
    env = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    for name, value in env.items():
        if _PASSWORD.search(value):
            raise UsageError(
                f"{name} has a password in it, which is not written down; use a key or a"
                " certificate",
                kind="container",
            )
    return env


def _list(kind: str, location: str, data: Data, deadline: Deadline) -> dict[str, list[str]]:
    """The containers that may be meant, running or not: their names, by their ids."""
    argv = [data["engine"], "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]
    if location.startswith(_LABEL):
        argv += ["--filter", location]
    lines = tools.output_of(kind, location, argv, data["env"], deadline).splitlines()
    rows = (line.partition(" ") for line in lines if line.strip())
    return {one: names.split(",") for one, _, names in rows}


def _ids_of(location: str, found: dict[str, list[str]]) -> list[str]:
    """Of which containers that is the name, or else the beginning of the id."""
    named = [one for one, names in found.items() if location in names]
    return named or [one for one in found if one.startswith(location)]


def _still_made(location: str) -> CleanupFailed:
    return CleanupFailed(
        f"of the containers {location!r} more come as they are removed; end what starts them",
        kind="container",
        location=location,
    )
