"""Inspection: the state of a scope at one moment, as values.

Inspecting joins nothing, cleans nothing and keeps nothing alive.  The scope is locked
only while its journals are read; sizes of artifacts and commands of processes are read
afterwards.

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

_PATIENCE: Final = 5.0  # seconds to wait for a process that has the scope locked


@dataclass(frozen=True, slots=True)
class Process:
    """A process, by its pid here, and its command, which is empty if it cannot be seen."""

    pid: int
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member, and how many seconds ago it joined; `None` if that is not known any more.

    Attributes:
        program: its command, if it is a program without lastout.
        helper: whether it only serves other members, as a fork server does, and keeps no scope.
        processes: the processes that keep it alive, as far as they can be seen from here: its
            own; if that has ended, processes that inherited its lock.
    """

    member: Member
    who: Identity
    age: float | None
    program: str = ""
    helper: bool = False
    processes: tuple[Process, ...] = ()

    @property
    def here(self) -> bool:
        """Whether its pid has a meaning here, and not only in another container."""
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
        members: its members, in the order of joining.
        artifacts: its artifacts, in the order of cleaning.
        problems: the reasons why it cannot be read or cleaned.
        guardian: the pid of its guardian; `None` if there is none, or none can be seen.
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
        """How many members are alive and keep the scope, not counting helpers."""
        return sum(one.member.keeps for one in self.members)

    @property
    def dead(self) -> int:
        """How many members are dead."""
        return sum(not one.member.alive for one in self.members)

    @property
    def state(self) -> State:
        """Whether it is in use, abandoned or unreadable."""
        if not self.readable:
            return "unreadable"
        return "in use" if self.living else "abandoned"

    @property
    def age(self) -> float | None:
        """How long ago the first of its known members joined."""
        ages = [one.age for one in self.members if one.age is not None]
        return max(ages, default=None)

    @property
    def due(self) -> tuple[Artifact, ...]:
        """The artifacts that a reap would clean now."""
        return tuple(one.artifact for one in self.artifacts if one.due)


def inspect(backend: Backend, scope: str, closely: bool = False) -> ScopeView | None:
    """A scope as it is now; `None` if there is none of that name.

    Args:
        backend: the backend that the scope is in.
        scope: the name of the scope.
        closely: whether to read facts that may take some seconds: the sizes of artifacts, the
            processes that hold the lock of a member whose own process is not found, and the
            guardian.

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
    """The content of each journal of a scope, by the token of its member.

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
    """The view with the process of each living member, if it can be found."""
    return replace(view, members=tuple(map(_with_own_process, view.members)))


def _with_own_process(view: MemberView) -> MemberView:
    argv = command_of(view.who) if view.member.alive else None
    if argv is None or view.who.pid is None:
        return view
    view.member.argv = argv
    return replace(view, processes=(Process(view.who.pid, argv),))


def _with_holders(view: ScopeView) -> ScopeView:
    """The view with further processes that hold locks: children of an ended member, containers."""
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
    """The size of an artifact; `None` if it has no size, or does not exist."""
    return table.size(artifact.kind, artifact.location, artifact.data)


def described(artifact: Artifact) -> str:
    """A line that describes an artifact to people: its place, or the command line."""
    return table.describe(artifact.kind, artifact.location, artifact.data)
