"""Inspection: what a scope looks like from outside, as values of one moment.

Looking joins nothing, cleans nothing and keeps nothing alive.  The scope is
held only while its journals are read: how big things are is asked afterwards.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from time import monotonic_ns

from .._platform import files, pids
from .._process.deadline import Deadline
from ..errors import LastoutError
from . import plan
from .hold import hold
from .journal import Journal
from .lease import helps_as, is_helper
from .members import Member, member
from .survey import Survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal

    from ..backends.base import Backend
    from .artifact import Artifact

    State = Literal["in use", "abandoned", "unreadable"]

# How long to wait for whoever holds the scope, and how long to add up one directory.
_PATIENCE: Final = 5.0
_ADDING: Final = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many bytes something has; `complete` is false if there may be more."""

    bytes: int
    complete: bool = True


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member, and how many seconds ago it joined; `None` if that is not known any more.

    Attributes:
        program: what it runs, where it is a program that knows nothing of the scope.
        helper: whether it only serves others, as a fork server does, and keeps nothing.
    """

    member: Member
    age: float | None
    program: str = ""
    helper: bool = False


@dataclass(frozen=True, slots=True)
class ArtifactView:
    """An artifact, how long ago it was recorded, its size, and whether a reap would clean it."""

    artifact: Artifact
    age: float | None
    due: bool
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class ScopeView:
    """A scope.

    Attributes:
        name: its name.
        path: its directory.
        members: who is in it, in the order of joining.
        artifacts: what it would clean, in that order.
        problems: what keeps it from being read or cleaned.
    """

    name: str
    path: str
    members: tuple[MemberView, ...] = ()
    artifacts: tuple[ArtifactView, ...] = ()
    problems: tuple[str, ...] = ()
    readable: bool = True

    @property
    def living(self) -> int:
        """How many members are alive and keep the scope, so without helpers."""
        return sum(one.member.alive and not one.helper for one in self.members)

    @property
    def dead(self) -> int:
        """How many members are dead."""
        return sum(not one.member.alive for one in self.members)

    @property
    def state(self) -> State:
        """Whether somebody is in it."""
        if not self.readable:
            return "unreadable"
        return "in use" if self.living else "abandoned"

    @property
    def age(self) -> float | None:
        """How long ago the first of its members that are still known joined."""
        ages = [one.age for one in self.members if one.age is not None]
        return max(ages, default=None)

    @property
    def due(self) -> tuple[Artifact, ...]:
        """What a reap would clean now."""
        return tuple(one.artifact for one in self.artifacts if one.due)


def inspect(backend: Backend, scope: str, sizes: bool = False) -> ScopeView | None:
    """A scope as it is now; `None` if there is none of that name.

    Args:
        backend: where it is.
        scope: its name.
        sizes: whether to find out how big things are, which may take some seconds.

    Raises:
        RootRefused, SystemRefused: the root cannot be used.
    """
    path = os.path.join(backend.place, scope)
    try:
        with hold(backend, scope, path, Deadline(_PATIENCE)) as held:
            if held is None:
                return None
            view = _view(scope, path, Survey(held, path))
    except (LastoutError, OSError) as error:
        backend.scopes()  # if the root itself is refused, say that
        return ScopeView(scope, path, problems=(str(error),), readable=False)
    return _with_sizes(view) if sizes else view


def journals(backend: Backend, scope: str) -> dict[str, bytes]:
    """What stands in each journal of a scope, by the token of its member.

    Raises:
        ScopeBusy, RootRefused, SystemRefused: it cannot be read.
    """
    path = os.path.join(backend.place, scope)
    with hold(backend, scope, path, Deadline(_PATIENCE)) as held:
        return {member: held.read(member) for member in held.members()} if held else {}


def _view(scope: str, path: str, survey: Survey) -> ScopeView:
    known = {journal.token: journal for journal in survey.gone}
    problems = [str(one.failure.exception) for one in survey.problems if one.failure]
    for token in survey.living:
        try:
            known[token] = survey.journal(token)
        except (LastoutError, OSError) as error:
            problems.append(str(error))
    now = monotonic_ns()
    due = {one.id for one in survey.due()}
    return ScopeView(
        scope,
        path,
        tuple(_members(survey, known, now)),
        tuple(
            ArtifactView(one, _age(known[one.member], one.made_ns, now), one.id in due)
            for one in plan.order(survey.unresolved())
        ),
        tuple(dict.fromkeys(problems)),
    )


def _members(survey: Survey, known: Mapping[str, Journal], now: int) -> list[MemberView]:
    """All members; of one that is only known by its lock, what its starter wrote down."""
    started = {
        artifact.data["member"]: artifact
        for journal in known.values()
        for artifact in journal.made.values()
        if "member" in artifact.data
    }
    living = {*survey.living, *survey.helpers}
    views = []
    for token in living | {journal.token for journal in survey.gone}:
        journal = known.get(token) or Journal(token)
        found, program = member(journal, token in living), ""
        if found.pid is None and token in started:
            by = started[token]
            found.pid, found.joined_ns = by.data.get("pid"), by.made_ns
            found.host = known[by.member].who.host
            program = " ".join(by.data["argv"])
        helper = is_helper(token)
        if helper and not program:
            program = helps_as(token)
        views.append(MemberView(found, _age(journal, found.joined_ns, now), program, helper))
    return sorted(views, key=lambda one: (one.member.joined_ns, one.member.token))


def _age(journal: Journal, ns: int, now: int) -> float | None:
    """Seconds since `ns`; the clock begins anew with each boot."""
    if not ns or ns > now or journal.who.boot not in ("", pids.boot_id()):
        return None
    return (now - ns) / 1e9


def _with_sizes(view: ScopeView) -> ScopeView:
    sized = tuple(replace(one, size=size_of(one.artifact)) for one in view.artifacts)
    return replace(view, artifacts=sized)


def size_of(artifact: Artifact) -> Size | None:
    """How big it is; `None` if it has no size, or is not there."""
    if artifact.kind == "directory":
        return _size_below(artifact.location, Deadline(_ADDING))
    if artifact.kind == "shared_memory":
        file = files.shared_memory_file(artifact.location)
        return _size(file) if file else Size(artifact.data["size"])
    return _size(artifact.location) if artifact.kind == "file" else None


def _size(path: str) -> Size | None:
    try:
        return Size(os.lstat(path).st_size)
    except OSError:
        return None


def _size_below(path: str, deadline: Deadline) -> Size | None:
    """The size of all files below a directory, no link followed."""
    total, complete, ahead = 0, True, [path]
    while ahead and not deadline.passed():
        try:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            if not ahead and not total and not os.path.lexists(path):
                return None
            complete = False
    return Size(total, complete and not ahead)
