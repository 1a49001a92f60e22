"""CleaningPass: clean artifacts in the order given, and record the results.

begun  -->  clean()  -->  done     in the journal that records the artifact

Tested by: tests/shared/test_run.py, tests/shared/test_reaper.py
"""

from __future__ import annotations

from contextlib import nullcontext
from time import monotonic

from ...deadline import Deadline
from ...errors import CleanupBlocked
from ...report import Failure, Outcome
from ..kinds import table
from ..records import journal as journals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, Final

    from ..records.artifact import Artifact
    from ..records.plan import Edges

    Clean = Callable[[str, str, Mapping[str, Any], Deadline], None]
    Mark = Callable[[str, bytes], None]  # member, records
    Apart = Callable[[str], AbstractContextManager[None]]  # kind

_TOGETHER: Final = 128


class CleaningPass:
    """Cleans artifacts in the order given, and marks in their journals what became of them.

    Args:
        mark: appends records to the journal of a member.
        clean: removes one artifact, or raises.
        deadline: for all artifacts together.
        apart: lets go of the scope while an artifact of a kind is cleaned; `None` if the scope
            is not locked.

    Attributes:
        cleaned: the ids of the cleaned artifacts.
        stuck: the ids of the artifacts that could not be cleaned.
        unmarked: the error if a mark could not be written; else `None`.
    """

    def __init__(
        self, mark: Mark, clean: Clean, deadline: Deadline, apart: Apart | None = None
    ) -> None:
        self._mark = mark
        self._clean = clean
        self._deadline = deadline
        self._apart = apart or nullcontext
        self.cleaned: set[str] = set()
        self.stuck: set[str] = set()
        self.unmarked: OSError | None = None

    def __call__(
        self, ordered: Sequence[Artifact], edges: Edges | None = None
    ) -> Iterator[Outcome]:
        """Clean artifacts that were not tried yet, unless a prerequisite of theirs stays."""
        tried = self.cleaned | self.stuck
        ordered = [one for one in ordered if one.id not in tried]
        left = len(ordered)
        for batch in _batches(ordered):
            kind = batch[0].kind
            own = table.limit(kind, batch[0].data)
            limit = Deadline(self._deadline.share(left > 1, own))
            left -= len(batch)
            self._try_to_mark("begun", batch)
            with self._apart(kind) if table.flags(kind).may_need_scope else nullcontext():
                outcomes = [self._one(artifact, edges or {}, limit) for artifact in batch]
            self._try_to_mark("done", [one for one in batch if one.id in self.cleaned])
            yield from outcomes

    def _one(self, artifact: Artifact, edges: Edges, limit: Deadline) -> Outcome:
        began = monotonic()
        failure = None
        try:
            waits_for = self.stuck.intersection(edges.get(artifact.id, ())) if self.stuck else ()
            if waits_for:
                raise _blocked(artifact, waits_for)
            self._clean(artifact.kind, artifact.location, artifact.data, limit)
        except Exception as error:
            failure = Failure(error)
        (self.stuck if failure else self.cleaned).add(artifact.id)
        return Outcome(_described(artifact), monotonic() - began, failure)

    def _try_to_mark(self, verb: str, batch: Sequence[Artifact]) -> None:
        """Record a mark, and go on if that fails.

        Without "done" another process cleans the artifact again, and finds it gone.  On a full
        disk the cleaning itself may make room.
        """
        if not batch:
            return
        try:
            member = batch[0].member
            start = len(member) + 1
            self._mark(member, journals.mark(verb, [one.id[start:] for one in batch]))
        except OSError as error:
            self.unmarked = error


def _batches(ordered: Sequence[Artifact]) -> Iterator[list[Artifact]]:
    """Runs of plain artifacts of a member; each artifact of further kinds by itself."""
    batch: list[Artifact] = []
    member = ""
    for artifact in ordered:
        plain = table.flags(artifact.kind).repeatable
        if batch and plain and len(batch) < _TOGETHER and artifact.id.startswith(member):
            batch.append(artifact)
            continue
        if batch:
            yield batch
        batch = [artifact]
        # "\n", with which no id begins, makes an artifact that is not plain a batch of its own.
        member = f"{artifact.member}." if plain else "\n"
    if batch:
        yield batch


def _described(artifact: Artifact) -> str:
    return f"{artifact.kind} {table.describe(artifact.kind, artifact.location, artifact.data)}"


def _blocked(artifact: Artifact, waits_for: Collection[str]) -> CleanupBlocked:
    return CleanupBlocked(
        f"the {artifact.kind} {artifact.location!r} stays: {', '.join(sorted(waits_for))} must go"
        " before it and could not be cleaned; see to that one first",
        kind=artifact.kind,
        location=artifact.location,
    )
