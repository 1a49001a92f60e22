"""Inspection: what a scope looks like from outside, as values of one moment.

Looking joins nothing, cleans nothing and keeps nothing alive.  The scope is
held only while its journals are read: how big things are, and what processes
run, is asked afterwards.

Tested by: tests/shared/test_inspection.py, tests/cli/test_keeping.py
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic_ns

from ..._identity import comparable
from ..._platform import pids
from ...backends.guards import is_guardian
from ...backends.holders import holders
from ...deadline import Deadline
from ...errors import LastoutError
from ..kinds import table
from . import plan
from .liveness import helps_as, is_helper
from .members import KnownMember, Member, command_line, command_of, known
from .scope_lock import ScopeRef
from .survey import ScopeSurvey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

    from ..._identity import Identity
    from ...backends.base import Backend
    from ..kinds.base import Size
    from .artifact import Artifact

    State = Literal["in use", "abandoned", "unreadable"]

_PATIENCE: Final = 5.0  # seconds to wait for whoever holds the scope


@dataclass(frozen=True, slots=True)
class Process:
    """A process, by its pid here, and what it runs; that is empty if it cannot be seen."""

    pid: int
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member, and how many seconds ago it joined; `None` if that is not known any more.

    Attributes:
        program: what it runs, where it is a program that knows nothing of the scope.
        helper: whether it only serves others, as a fork server does, and keeps nothing.
        processes: those by which it is alive, as far as they can be seen from here: its own;
            where that has ended, those that have its lock from it.
    """

    member: Member
    who: Identity
    age: float | None
    program: str = ""
    helper: bool = False
    processes: tuple[Process, ...] = ()

    @property
    def here(self) -> bool:
        """Whether its pid means something here, and not in another container."""
        return comparable(self.who)


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
        guardian: the pid of its guardian, if it has one that can be seen.
    """

    name: str
    path: str
    members: tuple[MemberView, ...] = ()
    artifacts: tuple[ArtifactView, ...] = ()
    problems: tuple[str, ...] = ()
    readable: bool = True
    guardian: int | None = None

    @property
    def living(self) -> int:
        """How many members are alive and keep the scope, so without helpers."""
        return sum(one.member.keeps for one in self.members)

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


def inspect(backend: Backend, scope: str, closely: bool = False) -> ScopeView | None:
    """A scope as it is now; `None` if there is none of that name.

    Args:
        backend: where it is.
        scope: its name.
        closely: whether to find out what may take some seconds: how big things are, who has
            the locks of those whose own process is not to be found, which is the guardian.

    Raises:
        RootRefused, SystemRefused: the root cannot be used.
    """
    ref = ScopeRef(backend, scope)
    path = ref.path
    try:
        with ref.lock(Deadline(_PATIENCE)) as held:
            if held is None:
                return None
            view = _view(scope, path, ScopeSurvey(held, path))
    except (LastoutError, OSError) as error:
        backend.scopes()  # if the root itself is refused, say that
        return ScopeView(scope, path, problems=(str(error),), readable=False)
    view = _with_processes(view)
    return _with_sizes(_with_holders(view)) if closely else view


def journals(backend: Backend, scope: str) -> dict[str, bytes]:
    """What stands in each journal of a scope, by the token of its member.

    Raises:
        ScopeBusy, RootRefused, SystemRefused: it cannot be read.
    """
    with ScopeRef(backend, scope).lock(Deadline(_PATIENCE)) as held:
        return {member: held.read(member) for member in held.members()} if held else {}


def _view(scope: str, path: str, survey: ScopeSurvey) -> ScopeView:
    read = {journal.token: journal for journal in survey.departed}
    problems = [str(one.failure.exception) for one in survey.problems if one.failure]
    for token in survey.living:
        try:
            read[token] = survey.journal(token)
        except (LastoutError, OSError) as error:
            problems.append(str(error))
    now = monotonic_ns()
    due = {one.id for one in survey.due()}
    artifacts = [
        ArtifactView(one, _age(read[one.member].who.boot, one.made_ns, now), one.id in due)
        for one in plan.order(survey.unresolved())
    ]
    members = tuple(_member(one, now) for one in known(survey, [*read.values()]))
    return ScopeView(scope, path, members, tuple(artifacts), tuple(dict.fromkeys(problems)))


def _member(one: KnownMember, now: int) -> MemberView:
    helper = is_helper(one.member.token)
    program = one.program or (helps_as(one.member.token) if helper else "")
    age = _age(one.who.boot, one.member.joined_ns, now)
    return MemberView(one.member, one.who, age, program, helper)


def _age(boot: str, ns: int, now: int) -> float | None:
    """Seconds since `ns`; the clock begins anew with each boot."""
    if not ns or ns > now or boot not in ("", pids.boot_id()):
        return None
    return (now - ns) / 1e9


def _with_processes(view: ScopeView) -> ScopeView:
    """With the process of each of the living, where that is to be found."""
    return replace(view, members=tuple(map(_with_own_process, view.members)))


def _with_own_process(view: MemberView) -> MemberView:
    argv = command_of(view.who) if view.member.alive else None
    if argv is None or view.who.pid is None:
        return view
    view.member.argv = argv
    return replace(view, processes=(Process(view.who.pid, argv),))


def _with_holders(view: ScopeView) -> ScopeView:
    """With those by which others live: children of one that has ended, one in a container."""
    lost = {one.member.token for one in view.members if one.member.alive and not one.processes}
    having, guards = holders(view.path, lost)
    members = [
        replace(one, processes=tuple(Process(pid, command_line(pid)) for pid in found))
        if (found := having.get(one.member.token))
        else one
        for one in view.members
    ]
    guardian = next(filter(is_guardian, guards), None)
    return replace(view, members=tuple(members), guardian=guardian)


def _with_sizes(view: ScopeView) -> ScopeView:
    sized = tuple(replace(one, size=size_of(one.artifact)) for one in view.artifacts)
    return replace(view, artifacts=sized)


def size_of(artifact: Artifact) -> Size | None:
    """How big it is; `None` if it has no size, or is not there."""
    return table.size(artifact.kind, artifact.location, artifact.data)


def described(artifact: Artifact) -> str:
    """What it is, for people: its place, or the command line."""
    return table.describe(artifact.kind, artifact.location, artifact.data)
