"""ScopeSurvey: the members of a locked scope, which of them are dead, and the artifacts they left.

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
    """The members of a locked scope, and their artifacts.

    Attributes:
        living: the tokens of members that are alive, or may be.
        departed: the journals of members that are dead or leave.
        helpers: the tokens of living members that do not keep the scope; if no other member
            lives, their journals are in `departed`.
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
            # Listed again after each dead member, because it may have forked since the listing.
            # Then the child is a member by now, and may use its parent's artifacts.
            if not sum(self._is_dead(member, leaving) for member in new):
                break
        self.helpers = frozenset(filter(liveness.is_helper, self.living))
        if len(self.helpers) == len(self.living) and not joining:
            self._dismiss_helpers()

    def _dismiss_helpers(self) -> None:
        """Count helpers as departed, because they alone do not keep a scope from ending."""
        for member in self.helpers:
            try:
                journal = self.journal(member)
            except (LastoutError, OSError):
                continue  # it stays among the living, and the error is reported elsewhere
            if liveness.is_orphan(journal):
                continue  # it stays, because only its journal tells of it until it is ended
            self.departed.append(journal)
            self.living.remove(member)

    def _is_dead(self, member: str, leaving: str) -> bool:
        """Sort a member among the living or departed; whether it is dead, not leaving or alive."""
        try:
            if member == leaving:
                journal = self.journal(member)
            elif found := liveness.find_dead(self._held, member, self.journal):
                journal = self._read_again(member, found)
            else:
                self.living.append(member)
                return False
        except (LastoutError, OSError) as error:
            # Fail closed: an unknown member counts as living, so its artifacts are not touched.
            self.living.append(member)
            self.problems.append(problem(f"journal {member}", error))
            return False
        self.departed.append(journal)
        if journal.damage:
            self.problems.append(problem(f"journal {member}", _damaged(journal, self._path)))
        return member != leaving

    def journal(self, member: str) -> Journal:
        """The journal of a member."""
        if member not in self._read:
            data = self._held.read(member)
            self._sizes[member] = len(data)
            self._read[member] = journals.parse(member, data, self._path)
        return self._read[member]

    def _read_again(self, member: str, journal: Journal) -> Journal:
        """The journal of a dead member, read again if it wrote on after the first reading."""
        if len(self._held.read(member)) == self._sizes[member]:
            return journal
        del self._read[member]
        return self.journal(member)

    def due(self) -> list[Artifact]:
        """Artifacts to clean now: of departed members, and with lifetime `scope` if none lives."""
        return [
            artifact
            for journal in self.departed
            for artifact in journal.unresolved()
            if not self.living or artifact.lifetime == "member"
        ]

    def unresolved(self) -> list[Artifact]:
        """All artifacts, of living and departed members, that are still to be cleaned."""
        members = [*self.living, *(journal.token for journal in self.departed)]
        found: list[Artifact] = []
        for member in members:
            try:
                found += self.journal(member).unresolved()
            except (LastoutError, OSError):
                continue  # it is reported in `problems`, or by a later step
        return found

    def prerequisites_elsewhere(self, due: Collection[Artifact]) -> list[Artifact] | None:
        """Artifacts that are not in `due` but may have to go before some of it.

        Returns:
            `None` if unknown, because a journal cannot be read.
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
                # Only parsed if an artifact may lie in a directory, because parsing is slow.
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
        """The artifacts of `due` that can go now, in order; and which must go before which."""
        if not due:
            return [], {}
        others = [] if last else self.prerequisites_elsewhere(due)
        if others is None:
            # Fail closed: contents of a directory, or artifacts that must go first, may be in use.
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
    """A problem with a scope itself, as a failed outcome."""
    return Outcome(what, 0.0, Failure(error))
