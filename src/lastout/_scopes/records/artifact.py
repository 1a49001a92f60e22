"""Artifact: a thing to be removed, as journals record it and as users hold it.

An artifact is a value that can be compared, copied and pickled.  It holds nothing
open: `release` and `keep` look up the scope that this process joined each time.

Tested by: tests/shared/test_artifact.py
"""

from __future__ import annotations

from ..._platform.imports import public
from ...errors import UsageError
from ..kinds.table import flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    JSON = Any  # None, bool, int, float, str, and lists and dicts of JSON values

    class Keeper(Protocol):
        """The part of a membership that an artifact uses."""

        def release(self, artifact: Artifact) -> None: ...
        def keep(self, artifact: Artifact) -> None: ...


LIFETIMES = ("scope", "member")


@public
class Artifact:
    """Something that its scope will clean.

    Attributes:
        id: the member that made it and its number there, `"<member token>.<number>"`.
        kind: its kind: `"directory"`, `"popen"`, ...
        location: its address; for kinds with a path the absolute path.
        lifetime: `"scope"` or `"member"`.
        after: the ids of artifacts that are to be cleaned before it.
        data: facts that its kind records.
        made_ns: when it was recorded, on this machine's monotonic clock.
        scope: the path of its scope.

    An artifact that is found at a path is an `os.PathLike`::

        with open(scope.directory() / "notes", "w") as notes: ...
    """

    __slots__ = ("after", "data", "id", "kind", "lifetime", "location", "made_ns", "scope")

    def __init__(
        self,
        id: str,  # noqa: A002  (its name here and in journals)
        kind: str,
        location: str,
        lifetime: str = "scope",
        after: tuple[str, ...] = (),
        data: Mapping[str, JSON] | None = None,
        made_ns: int = 0,
        scope: str = "",
    ) -> None:
        self.id = id
        self.kind = kind
        self.location = location
        self.lifetime = lifetime
        self.after = after
        self.data: Mapping[str, JSON] = {} if data is None else data
        self.made_ns = made_ns
        self.scope = scope

    @property
    def member(self) -> str:
        """The token of the member that made it."""
        return self.id.rpartition(".")[0]

    @property
    def number(self) -> int:
        """Its number among the artifacts of its member."""
        return int(self.id.rpartition(".")[2])

    @property
    def place(self) -> str:
        """The path that it needs, its own or the directory that it runs in; empty if none."""
        return self.location if flags(self.kind).at_path else str(self.data.get("cwd") or "")

    def release(self) -> None:
        """Clean it now, after artifacts that must go before it; do nothing if it was cleaned.

        Raises:
            UsageError: this process is not in its scope, or an artifact that must
                go first belongs to another living member.
            LastoutError, OSError: it could not be cleaned; it stays recorded.
        """
        _keeper(self).release(self)

    def keep(self) -> None:
        """Forget it, so that no process will clean it; do nothing if it was cleaned.

        When another process releases it at the same moment, either may be first.

        Raises:
            UsageError: this process is not in its scope.
            OSError: the mark could not be recorded, so the artifact will be cleaned.
        """
        _keeper(self).keep(self)

    def with_data(self, more: Mapping[str, JSON]) -> Artifact:
        """The same artifact with further data, which was known only later."""
        return self._replaced(data={**self.data, **more})

    def _replaced(self, **changes: Any) -> Artifact:
        return Artifact(**{**dict(zip(_FIELDS, self._fields(), strict=True)), **changes})

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _FIELDS)

    def __fspath__(self) -> str:
        if not flags(self.kind).at_path:
            raise TypeError(f"a {self.kind} is not found at a path: {self!r}")
        return self.location

    def __truediv__(self, part: str) -> Any:
        from pathlib import Path

        return Path(self) / part

    def __str__(self) -> str:
        return self.location

    def __repr__(self) -> str:
        return f"Artifact({self.kind!r}, {self.location!r}, id={self.id!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Artifact):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[object, ...]:
        return Artifact, self._fields()


_FIELDS = ("id", "kind", "location", "lifetime", "after", "data", "made_ns", "scope")
_keepers: dict[str, Keeper] = {}


def keep_here(scope: str, keeper: Keeper | None) -> None:
    """Have artifacts of the scope use `keeper`, because this process joined it; `None`: left it."""
    if keeper is None:
        _keepers.pop(scope, None)
    else:
        _keepers[scope] = keeper


def _keeper(artifact: Artifact) -> Keeper:
    try:
        return _keepers[artifact.scope]
    except KeyError:
        raise UsageError(
            f"this process is not in the scope {artifact.scope!r} of {artifact!r};"
            " join it first, with Scope(name)",
            artifact=artifact,
        ) from None
