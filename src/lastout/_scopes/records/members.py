"""Members: the members of a scope, as values to look at.

Tested by: tests/shared/test_inspection.py, tests/shared/test_scope.py
"""

from __future__ import annotations

import os

from ..._identity import Identity, is_running
from ..._platform import pids
from ..._platform.imports import public
from .journal import Journal
from .liveness import is_helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .artifact import Artifact
    from .survey import ScopeSurvey


@public
class Member:
    """One process (and interpreter) in a scope, as it was at one moment.

    Attributes:
        token: its name in the scope.
        pid: its process id, in its own pid namespace; `None` if unknown.
        host: the name of its machine.
        interpreter: 0 for the main interpreter of its process.
        joined_ns: when it joined, on this machine's monotonic clock.
        alive: whether it is alive.
        unresolved: how many of its artifacts are still to be cleaned.
        argv: program and arguments of its process; empty if the process has ended, or cannot
            be seen from here.
        keeps: whether it keeps the scope from ending: it is alive, and does not only serve
            other members, as a fork server or a manager does.
    """

    __slots__ = (
        *("alive", "argv", "host", "interpreter", "joined_ns", "pid", "token", "unresolved"),
    )

    def __init__(
        self,
        token: str,
        pid: int | None = None,
        host: str = "",
        interpreter: int = 0,
        joined_ns: int = 0,
        alive: bool = True,
        unresolved: int = 0,
        argv: tuple[str, ...] = (),
    ) -> None:
        self.token = token
        self.pid = pid
        self.host = host
        self.interpreter = interpreter
        self.joined_ns = joined_ns
        self.alive = alive
        self.unresolved = unresolved
        self.argv = argv

    @property
    def keeps(self) -> bool:
        """Whether it keeps the scope from ending."""
        return self.alive and not is_helper(self.token)

    def _fields(self) -> tuple[object, ...]:
        place = (self.token, self.pid, self.host, self.interpreter)
        return (*place, self.joined_ns, self.alive, self.unresolved)

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Member) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> tuple[object, ...]:
        return Member, self._fields()

    def __repr__(self) -> str:
        state = "alive" if self.alive else "dead"
        return f"Member({self.token!r}, pid={self.pid}, {state}, unresolved={self.unresolved})"


class KnownMember:
    """A member, and the identity of its process.

    Attributes:
        member: the value for users; its `argv` is found out later.
        who: the identity of its process.
        program: the command that its starter recorded, of a program without lastout; else empty.
    """

    __slots__ = ("member", "program", "who")

    def __init__(self, journal: Journal, alive: bool, started: Artifact | None, host: str) -> None:
        self.who, since, self.program = journal.who, journal.joined_ns, ""
        if started:
            facts, since = started.data, started.made_ns
            place = facts["boot"], facts["namespace"]
            # The pid is missing if the starter was killed before it could record it.
            self.who = Identity(facts.get("pid"), facts.get("started"), *place, host=host)
            self.program = " ".join(facts["argv"])
        who = self.who
        self.member = Member(
            *(journal.token, who.pid, who.host, who.interpreter, since, alive),
            len(journal.unresolved()),
        )


def command_of(who: Identity) -> tuple[str, ...] | None:
    """Program and arguments of a process; `None` if there is no such process here.

    Not to be called while the scope is locked, because a process can delay this call.
    """
    if who.pid is None:
        return None
    argv = command_line(who.pid)
    try:
        there = is_running(who)  # asked last, so `argv` is of this process, not of a later process
    except OSError:
        there = True  # this process may not look at it
    return argv if there else None


def command_line(pid: int) -> tuple[str, ...]:
    """Program and arguments of a process; empty if they cannot be seen."""
    return tuple(map(os.fsdecode, pids.command_line(pid)))


def known(survey: ScopeSurvey, journals: Sequence[Journal] | None = None) -> list[KnownMember]:
    """All members, in the order in which they joined.

    Args:
        survey: the survey of the scope.
        journals: the readable journals of living members; `None` to read all of them.
    """
    if journals is None:
        journals = [survey.journal(token) for token in survey.living]
    read = {journal.token: journal for journal in [*survey.departed, *journals]}
    # A program without lastout writes no identity of its own, so its starter recorded it.
    started = {
        artifact.data["member"]: artifact
        for journal in read.values()
        for artifact in journal.made.values()
        if "member" in artifact.data
    }
    living = {*survey.living, *survey.helpers}
    found = []
    for token in living | read.keys():
        journal = read.get(token) or Journal(token)
        by = started.get(token) if journal.who.pid is None else None
        host = read[by.member].who.host if by else ""
        found.append(KnownMember(journal, token in living, by, host))
    return sorted(found, key=lambda one: (one.member.joined_ns, one.member.token))


def seen(found: Sequence[KnownMember]) -> tuple[Member, ...]:
    """The members, with the commands of the living; see `command_of`."""
    for one in found:
        one.member.argv = (command_of(one.who) if one.member.alive else None) or ()
    return tuple(one.member for one in found)


def artifacts(survey: ScopeSurvey) -> tuple[Artifact, ...]:
    """All artifacts that are still to be cleaned, in the order in which they were recorded."""
    found = survey.unresolved()
    return tuple(sorted(found, key=lambda one: (one.made_ns, one.member, one.number)))
