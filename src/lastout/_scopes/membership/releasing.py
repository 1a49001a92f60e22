"""Releasing: clean one artifact before its time, or keep it for good.

A member locks the scope while it checks that no other process has cleaned the artifact,
and claims it by a "begun" in the journal.  Then it cleans an artifact of its own without
the lock, because that may take long; for an artifact of another member it takes the turn
of cleaning processes (see `turn`).

Tested by: tests/shared/test_release.py
"""

from __future__ import annotations

from ...deadline import Deadline
from ...errors import UsageError
from ...layout import CLEANER_LOCK
from ..kinds.table import flags
from ..reaping.cleaning_pass import CleaningPass
from ..reaping.turn import CleaningTurn, come_to_turn
from ..records import journal as journals
from ..records import plan
from ..records.containment import lies_inside
from ..records.scope_lock import PATIENCE
from ..records.survey import ScopeSurvey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...backends.base import LockedScope
    from ..reaping.cleaning_pass import Apart, Clean, Mark
    from ..records.artifact import Artifact
    from .recording import JournalWriter


class ArtifactReleaser:
    """Releases artifacts for one member; each thread uses its own.

    Args:
        journal: the journal of the member.
        clean: the function that removes an artifact.
    """

    def __init__(self, journal: JournalWriter, clean: Clean) -> None:
        self._journal = journal
        self._path = journal.scope.path
        self._clean = clean

    def release(self, artifact: Artifact) -> None:
        """Clean an artifact, after artifacts that must go before it; see `Artifact.release`."""
        journal = self._journal
        with journal.lock_scope() as held, CleaningTurn(held, self._path) as turn:
            ordered = self._claim(held, artifact)
            if not self._all_ours(ordered):
                _begin(held, ordered)
                self._run(ordered, held.append, turn.apart)
                return
            if ordered:
                journal.append(journals.mark("begun", _numbers(ordered)))
                journal.resolved.update(_numbers(ordered))
        self._run(ordered, lambda _, records: journal.append(records))

    def keep(self, artifact: Artifact) -> None:
        """Forget an artifact; see `Artifact.keep`."""
        journal, record = self._journal, journals.mark("kept", [artifact.number])
        if artifact.member == journal.token:
            journal.append(record)
            journal.resolved.add(artifact.number)
            return
        with journal.lock_scope() as held:
            if held.is_taken(CLEANER_LOCK):
                self._wait_for_turn(held, artifact)
            if artifact.member in held.members():
                held.append(artifact.member, record)

    def _claim(self, held: LockedScope, artifact: Artifact) -> Sequence[Artifact]:
        """The artifacts to clean, in order; none if it was cleaned already."""
        if self._is_resolved(artifact):
            return []
        is_own = artifact.member == self._journal.token
        simple = is_own and self._journal.alone_wrote() and not artifact.after
        if simple and not (flags(artifact.kind).contains and _something_inside(held, artifact)):
            return [artifact]
        if artifact.member not in held.members():
            return []  # its journal was removed, because all its artifacts were cleaned
        survey = ScopeSurvey(held, self._path)
        journal = survey.journal(artifact.member)
        known = survey.unresolved()
        current = next((one for one in known if one.id == artifact.id), None)
        if current is None:
            return []
        first = [one for one in plan.first(current, known) if not self._is_resolved(one)]
        due = [*first, current]
        if held.is_taken(CLEANER_LOCK) and not (self._all_ours(due) and not _begun(due, survey)):
            self._wait_for_turn(held, artifact)
            return self._claim(held, artifact)
        self._check_free(due, survey, artifact.number in journal.begun)
        return plan.order(due)

    def _wait_for_turn(self, held: LockedScope, artifact: Artifact) -> None:
        if not come_to_turn(held, self._path, Deadline(PATIENCE)):
            raise UsageError(
                f"the {artifact.kind} {artifact.location!r} cannot be released or kept now: this"
                " process is a part of what is being cleaned, and must not wait for it",
                artifact=artifact,
            )

    def _is_resolved(self, artifact: Artifact) -> bool:
        """Whether this member released or kept it; a thread may be cleaning it just now."""
        mine = self._journal
        return artifact.member == mine.token and artifact.number in mine.resolved

    def _check_free(self, due: Sequence[Artifact], survey: ScopeSurvey, begun: bool) -> None:
        token, artifact = self._journal.token, due[-1]
        others = [one for one in due[:-1] if one.member in survey.living and one.member != token]
        if others:
            raise UsageError(
                f"the {artifact.kind} {artifact.location!r} cannot be released now:"
                f" {', '.join(map(repr, others))} must go first and belong to living members;"
                " release those there",
                others=others,
            )
        if begun and artifact.member in survey.living and artifact.member != token:
            raise UsageError(
                f"the {artifact.kind} {artifact.location!r} is being cleaned by the member that"
                " made it, or could not be; release it there",
                artifact=artifact,
            )

    def _all_ours(self, ordered: Iterable[Artifact]) -> bool:
        return all(one.member == self._journal.token for one in ordered)

    def _run(self, ordered: Sequence[Artifact], mark: Mark, apart: Apart | None = None) -> None:
        token, resolved = self._journal.token, self._journal.resolved
        run = CleaningPass(mark, self._clean, Deadline(), apart)
        failures = [
            outcome.failure for outcome in run(ordered, plan.before(ordered)) if outcome.failure
        ]
        if failures:
            stay = [one for one in ordered if one.id not in run.cleaned]
            resolved.difference_update(_numbers(one for one in stay if one.member == token))
            raise failures[0].exception


def _numbers(artifacts: Iterable[Artifact]) -> list[int]:
    return [artifact.number for artifact in artifacts]


def _begin(held: LockedScope, ordered: Sequence[Artifact]) -> None:
    """Claim artifacts of other members, so that living owners wait once the scope is let go."""
    for member in {one.member for one in ordered if flags(one.kind).may_need_scope}:
        numbers = [one.number for one in ordered if one.member == member]
        held.append(member, journals.mark("begun", numbers))


def _begun(due: Iterable[Artifact], survey: ScopeSurvey) -> bool:
    return any(one.number in survey.journal(one.member).begun for one in due)


def _something_inside(held: LockedScope, directory: Artifact) -> bool:
    return any(lies_inside(directory, held.read(member)) for member in held.members())
