"""Survey: who is in a scope that is held, who of them is dead, and what they have left.

Tested by: tests/shared/test_survey.py, tests/shared/test_reaper.py
"""

from __future__ import annotations

from ...errors import JournalDamaged, LastoutError
from ...report import Failure, Outcome
from ..kinds.table import flags
from . import journal as journals
from . import liveness, plan
from .containment import lies_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ...backends.base import LockedScope
    from .artifact import Artifact
    from .journal import Journal


class ScopeSurvey:
    """Who is in a scope that is held, and what of it is known.

    Attributes:
        living: the tokens of those that are alive, or cannot be told.
        gone: the journals of those that are dead or leave.
        helpers: the tokens of those that are alive and keep nothing; where all others are
            gone, they are among these.
        problems: journals that cannot be used, as failed outcomes.
    """

    def __init__(
        self, held: LockedScope, path: str, leaving: str = "", joining: bool = False
    ) -> None:
        self._held = held
        self._path = path
        self._read: dict[str, Journal] = {}
        self._sizes: dict[str, int] = {}
        self.living: list[str] = []
        self.departed: list[Journal] = []
        self.problems: list[Outcome] = []
        seen: set[str] = set()
        while new := [member for member in held.members() if member not in seen]:
            seen.update(new)
            # Whoever is dead may have forked since it was listed: the child is
            # there now, and what its parent had may be the child's to use.
            if not sum(self._is_dead(member, leaving) for member in new):
                break
        self.helpers = frozenset(filter(liveness.is_helper, self.living))
        if len(self.helpers) == len(self.living) and not joining:
            self._dismiss_helpers()

    def _dismiss_helpers(self) -> None:
        """Nobody is left but them, and they keep nothing: whoever cleans takes them for gone."""
        for member in self.helpers:
            try:
                journal = self.journal(member)
            except (LastoutError, OSError):
                continue  # it stays among the living, and was told of or is told next time
            if liveness.is_orphan(journal):
                continue  # it is known by its journal only: that stays until it is ended
            self.departed.append(journal)
            self.living.remove(member)

    def _is_dead(self, member: str, leaving: str) -> bool:
        """Look at one; whether it is dead, rather than leaving or alive."""
        try:
            if member == leaving:
                journal = self.journal(member)
            elif found := liveness.find_dead(self._held, member, self.journal):
                journal = self._read_again(member, found)
            else:
                self.living.append(member)
                return False
        except (LastoutError, OSError) as error:
            # Whoever that is, nothing that it may use is touched.
            self.living.append(member)
            self.problems.append(problem(f"journal {member}", error))
            return False
        self.departed.append(journal)
        if journal.damage:
            self.problems.append(problem(f"journal {member}", _damaged(journal, self._path)))
        return member != leaving

    def journal(self, member: str) -> Journal:
        """What stands in the journal of this member."""
        if member not in self._read:
            data = self._held.read(member)
            self._sizes[member] = len(data)
            self._read[member] = journals.parse(member, data, self._path)
        return self._read[member]

    def _read_again(self, member: str, journal: Journal) -> Journal:
        """Its journal, now that it is dead: it may have written until just before."""
        if len(self._held.read(member)) == self._sizes[member]:
            return journal
        del self._read[member]
        return self.journal(member)

    def due(self) -> list[Artifact]:
        """What can go now: what goes with the dead, and all of it when nobody lives."""
        return [
            artifact
            for journal in self.departed
            for artifact in journal.unresolved()
            if not self.living or artifact.lifetime == "member"
        ]

    def unresolved(self) -> list[Artifact]:
        """All that the living and the dead have made and nobody has cleaned."""
        members = [*self.living, *(journal.token for journal in self.departed)]
        found: list[Artifact] = []
        for member in members:
            try:
                found += self.journal(member).unresolved()
            except (LastoutError, OSError):
                continue  # told in `problems`, or when it is its turn
        return found

    def prerequisites_elsewhere(self, due: Collection[Artifact]) -> list[Artifact] | None:
        """What others still have that may have to go before some of `due`.

        `None` if that cannot be told, because a journal cannot be read.
        """
        mine = {artifact.id for artifact in due}
        found = [
            artifact
            for journal in self.departed
            for artifact in journal.unresolved()
            if artifact.id not in mine
        ]
        named = {other.partition(".")[0] for artifact in due for other in artifact.after}
        directories = [artifact for artifact in due if flags(artifact.kind).contains]
        for member in self.living if named or directories else ():
            try:
                # Parsing costs, so only where something may lie in one of them.
                data = self._held.read(member)
                if member in named or any(lies_inside(one, data) for one in directories):
                    found += self.journal(member).unresolved()
            except (LastoutError, OSError) as error:
                self.problems.append(problem(f"journal {member}", error))
                return None
        return [artifact for artifact in found if artifact.id not in mine]

    def plan(
        self, due: Sequence[Artifact], last: bool = False
    ) -> tuple[list[Artifact], plan.Edges]:
        """The order for those of `due` that can go now, and which must go before which."""
        if not due:
            return [], {}
        others = [] if last else self.prerequisites_elsewhere(due)
        if others is None:
            # What lies in a directory, or must go first, may be in use: leave it.
            due = [one for one in due if not (flags(one.kind).contains or one.after)]
            others = []
        edges = plan.before([*due, *others])
        return plan.order(due, others, edges), edges


def _damaged(journal: Journal, path: str) -> JournalDamaged:
    return JournalDamaged(
        f"the journal of {journal.token} in the scope {path!r} has {journal.damage} lines that are"
        " no records; what could be read was obeyed. Look for what it may have meant, then remove"
        " it",
        scope=path,
        member=journal.token,
    )


def problem(what: str, error: Exception) -> Outcome:
    """Something that is wrong with a scope itself, as a failed outcome."""
    return Outcome(what, 0.0, Failure(error))
