"""Reaper: find the dead, plan, clean, report.  Leaving is reaping oneself.

    Held --Survey--> who is gone, who lives --Plan--> order --clean()--> Outcomes
                                                        |
                              begun ... done, in the journal that the artifact stands in

The scope is held all the while, so one process at a time looks and cleans, and
whoever is killed in the middle frees it for the next.
"""

from __future__ import annotations

import json
from time import monotonic

from .._process.deadline import Deadline
from .._process.report import Failure, Outcome
from ..errors import CleanupBlocked, JournalDamaged, LastoutError
from . import journal as journals
from . import lease, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Any, Final

    from ..backends.base import Held
    from .artifact import Artifact
    from .journal import Journal

    Clean = Callable[[str, str, Mapping[str, Any], Deadline], None]
    Mark = Callable[[str, bytes], None]  # member, records

# One cleanup that hangs must not hold up the scope for ever.
LONGEST: Final = 60.0
# Cleaning these twice does no harm, so they share their marks.
_PLAIN: Final = frozenset({"directory", "file", "socket", "shared_memory", "semaphore"})
_TOGETHER: Final = 128


class Survey:
    """Who is in a scope that is held, and what of it is known.

    Attributes:
        living: the tokens of those that are alive, or cannot be told.
        gone: the journals of those that are dead or leave.
        problems: journals that cannot be used, as failed outcomes.
    """

    def __init__(self, held: Held, path: str, leaving: str = "") -> None:
        self._held = held
        self._path = path
        self._read: dict[str, Journal] = {}
        self.living: list[str] = []
        self.gone: list[Journal] = []
        self.problems: list[Outcome] = []
        for member in held.members():
            self._look_at(member, leaving)

    def _look_at(self, member: str, leaving: str) -> None:
        try:
            if member != leaving and self._held.is_held(member):
                self.living.append(member)
                return
            journal = self.journal(member)
        except (LastoutError, OSError) as error:
            # Whoever that is, nothing that it may use is touched.
            self.living.append(member)
            self.problems.append(_problem(f"journal {member}", error))
            return
        if member != leaving and not lease.is_dead(journal):
            self.living.append(member)
            return
        self.gone.append(journal)
        if journal.damage:
            self.problems.append(_problem(f"journal {member}", _damaged(journal, self._path)))

    def journal(self, member: str) -> Journal:
        """What stands in the journal of this member."""
        if member not in self._read:
            data = self._held.read(member)
            self._read[member] = journals.parse(member, data, self._path)
        return self._read[member]

    def unresolved(self) -> list[Artifact]:
        """All that the living and the dead have made and nobody has cleaned."""
        members = [*self.living, *(journal.token for journal in self.gone)]
        found: list[Artifact] = []
        for member in members:
            try:
                found += self.journal(member).unresolved()
            except (LastoutError, OSError):
                continue  # told in `problems`, or when it is its turn
        return found

    def around(self, due: Collection[Artifact]) -> list[Artifact] | None:
        """What others still have that may have to go before some of `due`.

        `None` if that cannot be told, because a journal cannot be read.
        """
        mine = {artifact.id for artifact in due}
        found = [
            artifact
            for journal in self.gone
            for artifact in journal.unresolved()
            if artifact.id not in mine
        ]
        named = {other.partition(".")[0] for artifact in due for other in artifact.after}
        directories = [artifact for artifact in due if artifact.kind == "directory"]
        for member in self.living if named or directories else ():
            try:
                # Parsing costs, so only where something may lie in one of them.
                data = self._held.read(member)
                if member in named or any(lies_inside(one, data) for one in directories):
                    found += self.journal(member).unresolved()
            except (LastoutError, OSError) as error:
                self.problems.append(_problem(f"journal {member}", error))
                return None
        return [artifact for artifact in found if artifact.id not in mine]

    def plan(
        self, due: Sequence[Artifact], last: bool = False
    ) -> tuple[list[Artifact], plan.Edges]:
        """The order for those of `due` that can go now, and which must go before which."""
        if not due:
            return [], {}
        others = [] if last else self.around(due)
        if others is None:
            # What lies in a directory, or must go first, may be in use: leave it.
            due = [one for one in due if one.kind != "directory" and not one.after]
            others = []
        edges = plan.before([*due, *others])
        return plan.order(due, others, edges), edges


def reap(held: Held, path: str, clean: Clean, deadline: Deadline, leaving: str = "") -> Reaped:
    """Clean up after everyone who is dead, and after `leaving` as if it were.

    What belongs to the scope goes when nobody is left alive; then the scope
    itself goes too, if nothing had to stay.
    """
    survey = Survey(held, path, leaving)
    last = not survey.living
    due = [
        artifact
        for journal in survey.gone
        for artifact in journal.unresolved()
        if last or artifact.lifetime == "member"
    ]
    ordered, edges = survey.plan(due, last)
    run = Run(held.append, clean, deadline)
    outcomes = list(run(ordered, edges))
    swept = False
    try:
        swept = _put_away(held, survey, run.cleaned, last)
    except (LastoutError, OSError) as error:
        survey.problems.append(_problem(f"scope {path}", error))
    if run.unmarked and not swept:
        survey.problems.append(_problem(f"scope {path}", run.unmarked))
    return Reaped([*survey.problems, *outcomes], swept)


class Reaped:
    """What a reaping did: its outcomes, and whether the scope is no more."""

    __slots__ = ("outcomes", "swept")

    def __init__(self, outcomes: Sequence[Outcome], swept: bool) -> None:
        self.outcomes = outcomes
        self.swept = swept


def _put_away(held: Held, survey: Survey, cleaned: set[str], last: bool) -> bool:
    """Remove the journals in which nothing is left, or the whole scope; whether it was that."""
    empty = [
        journal.token
        for journal in survey.gone
        if not journal.damage and all(artifact.id in cleaned for artifact in journal.unresolved())
    ]
    if last and len(empty) == len(survey.gone):
        held.sweep()
        return True
    for member in empty:
        held.forget(member)
    return False


class Run:
    """Cleans artifacts in the order given, and marks in their journals what became of them.

    Args:
        mark: adds records to the journal of a member.
        clean: removes one artifact, or raises.
        deadline: for all of them together.

    Attributes:
        cleaned: the ids of those that are gone now.
        unmarked: why something could not be written down, if so.
    """

    def __init__(self, mark: Mark, clean: Clean, deadline: Deadline) -> None:
        self._mark = mark
        self._clean = clean
        self._deadline = deadline
        self.cleaned: set[str] = set()
        self.unmarked: OSError | None = None

    def __call__(
        self, ordered: Sequence[Artifact], edges: plan.Edges | None = None
    ) -> Iterator[Outcome]:
        """Clean them; what must go after one that stays, stays too."""
        stuck: set[str] = set()
        left = len(ordered)
        for batch in _batches(ordered):
            left -= len(batch)
            limit = Deadline(self._deadline.share(left > 0 or len(batch) > 1, LONGEST))
            self._try_to_mark("begun", batch)
            done = []
            for artifact in batch:
                waits_for = stuck.intersection((edges or {}).get(artifact.id, ())) if stuck else ()
                outcome = self._one(artifact, waits_for, limit)
                if outcome.failure is None:
                    done.append(artifact)
                    self.cleaned.add(artifact.id)
                else:
                    stuck.add(artifact.id)
                yield outcome
            self._try_to_mark("done", done)

    def _one(self, artifact: Artifact, waits_for: Collection[str], limit: Deadline) -> Outcome:
        began = monotonic()
        failure = None
        try:
            if waits_for:
                raise _blocked(artifact, waits_for)
            self._clean(artifact.kind, artifact.location, artifact.data, limit)
        except Exception as error:
            failure = Failure(error)
        return Outcome(_described(artifact), monotonic() - began, failure)

    def _try_to_mark(self, verb: str, batch: Sequence[Artifact]) -> None:
        """Write it down, if the disk lets us.

        Without "done" it is tried again, and found to be gone; cleaning may be
        what makes room on a full disk.
        """
        if not batch:
            return
        try:
            member = batch[0].member
            start = len(member) + 1
            self._mark(member, journals.mark(verb, [one.id[start:] for one in batch]))
        except OSError as error:
            self.unmarked = error


def lies_inside(directory: Artifact, journal: bytes) -> bool:
    """Whether a journal names anything that lies in this directory, or runs in it."""
    path = json.dumps(directory.location)  # as it stands in a journal
    return f"{path[:-1]}/".encode() in journal or f'"cwd":{path}'.encode() in journal


def _batches(ordered: Sequence[Artifact]) -> Iterator[list[Artifact]]:
    """Runs of plain artifacts of one member; the others one by one."""
    batch: list[Artifact] = []
    member = ""
    for artifact in ordered:
        plain = artifact.kind in _PLAIN
        if batch and plain and len(batch) < _TOGETHER and artifact.id.startswith(member):
            batch.append(artifact)
            continue
        if batch:
            yield batch
        batch = [artifact]
        # A kind that is not plain is a batch of its own: no id begins so.
        member = f"{artifact.member}." if plain else "\n"
    if batch:
        yield batch


def _described(artifact: Artifact) -> str:
    words = artifact.data.get("argv")
    return f"{artifact.kind} {' '.join(words) if words else artifact.location}"


def _blocked(artifact: Artifact, waits_for: Collection[str]) -> CleanupBlocked:
    return CleanupBlocked(
        f"the {artifact.kind} {artifact.location!r} stays: {', '.join(sorted(waits_for))} must go"
        " before it and could not be cleaned; see to that one first",
        kind=artifact.kind,
        location=artifact.location,
    )


def _damaged(journal: Journal, path: str) -> JournalDamaged:
    return JournalDamaged(
        f"the journal of {journal.token} in the scope {path!r} has {journal.damage} lines that are"
        " no records; what could be read was obeyed. Look for what it may have meant, then remove"
        " it",
        scope=path,
        member=journal.token,
    )


def _problem(what: str, error: Exception) -> Outcome:
    return Outcome(what, 0.0, Failure(error))
