"""Members: who is in a scope, as values to look at."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .artifact import Artifact
    from .journal import Journal
    from .survey import Survey


class Member:
    """One process (and interpreter) in a scope, as it was at one moment.

    Attributes:
        token: its name in the scope.
        pid: its process id, in its own pid namespace; `None` if it has not said.
        host: the name of its machine.
        interpreter: 0 for the main interpreter of its process.
        joined_ns: when it joined, on this machine's monotonic clock.
        alive: whether it is.
        unresolved: how many of its artifacts are still to be cleaned.
    """

    __slots__ = ("alive", "host", "interpreter", "joined_ns", "pid", "token", "unresolved")

    def __init__(
        self,
        token: str,
        pid: int | None = None,
        host: str = "",
        interpreter: int = 0,
        joined_ns: int = 0,
        alive: bool = True,
        unresolved: int = 0,
    ) -> None:
        self.token = token
        self.pid = pid
        self.host = host
        self.interpreter = interpreter
        self.joined_ns = joined_ns
        self.alive = alive
        self.unresolved = unresolved

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


def members(survey: Survey) -> tuple[Member, ...]:
    """All members, in the order in which they joined."""
    dead = [member(journal, alive=False) for journal in survey.gone]
    living = [member(survey.journal(token), alive=True) for token in survey.living]
    return tuple(sorted([*dead, *living], key=lambda one: (one.joined_ns, one.token)))


def artifacts(survey: Survey) -> tuple[Artifact, ...]:
    """All that is still to be cleaned, in the order in which it was recorded."""
    found = survey.unresolved()
    return tuple(sorted(found, key=lambda one: (one.made_ns, one.member, one.number)))


def member(journal: Journal, alive: bool) -> Member:
    """What its journal says of a member."""
    who = journal.who
    count = len(journal.unresolved())
    return Member(
        journal.token, who.pid, who.host, who.interpreter, journal.joined_ns, alive, count
    )
