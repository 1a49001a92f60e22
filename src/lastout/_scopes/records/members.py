"""Members: who is in a scope, as values to look at.

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
        pid: its process id, in its own pid namespace; `None` if nobody has said.
        host: the name of its machine.
        interpreter: 0 for the main interpreter of its process.
        joined_ns: when it joined, on this machine's monotonic clock.
        alive: whether it is.
        unresolved: how many of its artifacts are still to be cleaned.
        argv: what its process runs, program and arguments; empty if it has ended, or cannot be
            seen from here.
        keeps: whether it keeps the scope from ending: it is alive, and does not only serve
            others, as a fork server or a manager does.
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
    """A member, and what tells which process that is.

    Attributes:
        member: as users see it; what it runs is found out later.
        who: its process.
        program: what its starter wrote down, of one that knows nothing of the scope.
    """

    __slots__ = ("member", "program", "who")

    def __init__(self, journal: Journal, alive: bool, started: Artifact | None, host: str) -> None:
        self.who, since, self.program = journal.who, journal.joined_ns, ""
        if started:
            facts, since = started.data, started.made_ns
            place = facts["boot"], facts["namespace"]
            # Without a pid where its starter was killed before it had one.
            self.who = Identity(facts.get("pid"), facts.get("started"), *place, host=host)
            self.program = " ".join(facts["argv"])
        who = self.who
        self.member = Member(
            *(journal.token, who.pid, who.host, who.interpreter, since, alive),
            len(journal.unresolved()),
        )


def command_of(who: Identity) -> tuple[str, ...] | None:
    """What a process runs; `None` if there is no such process here.

    Not to be asked while a scope is held: a process can keep whoever asks waiting.
    """
    if who.pid is None:
        return None
    argv = command_line(who.pid)
    try:
        there = is_running(who)  # asked last: so that is what it ran, and not another one
    except OSError:
        there = True  # it must not be looked at
    return argv if there else None


def command_line(pid: int) -> tuple[str, ...]:
    """What a process runs; empty if that cannot be seen."""
    return tuple(map(os.fsdecode, pids.command_line(pid)))


def known(survey: ScopeSurvey, journals: Sequence[Journal] | None = None) -> list[KnownMember]:
    """All members, in the order in which they joined.

    Args:
        survey: who is there.
        journals: those of the living, as far as they can be read; `None` for all of them.
    """
    if journals is None:
        journals = [survey.journal(token) for token in survey.living]
    read = {journal.token: journal for journal in [*survey.departed, *journals]}
    # A program that knows nothing of the scope writes nothing: its starter did.
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
    """The members, with what the living run; see `command_of`."""
    for one in found:
        one.member.argv = (command_of(one.who) if one.member.alive else None) or ()
    return tuple(one.member for one in found)


def artifacts(survey: ScopeSurvey) -> tuple[Artifact, ...]:
    """All that is still to be cleaned, in the order in which it was recorded."""
    found = survey.unresolved()
    return tuple(sorted(found, key=lambda one: (one.made_ns, one.member, one.number)))
