"""JournalWriter: what a member writes in its journal.

It is the hot path: one line for each thing that is made, and no lock is taken meanwhile.

Tested by: tests/shared/test_scope.py, tests/shared/test_faults.py
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

from ..._identity import new_token
from ..._platform import counter
from ...errors import ScopeGone, UsageError
from ..records import journal as journals
from ..records import plan
from ..records.artifact import Artifact
from ..records.survey import ScopeSurvey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..._identity import Identity
    from ...backends.base import JournalLock, LockedScope
    from ...deadline import Deadline
    from ..records.scope_lock import ScopeRef


class JournalWriter:
    """The journal of one member, from joining to leaving.

    Args:
        scope: where the journal lies.
        lock: the journal, locked by this member.

    Attributes:
        token: the name of the member.
        owns_things: whether anything goes with this member.
        resolved: the numbers of its artifacts that it released or kept.
    """

    def __init__(self, scope: ScopeRef, lock: JournalLock) -> None:
        self.scope = scope
        self.lock = lock
        self.token = lock.member
        self.owns_things = False
        self.resolved: set[int] = set()
        self._next_number = counter()
        self._written = lock.size()
        self._locked_scope: LockedScope | None = None

    @property
    def lost(self) -> bool:
        """Whether its lock is held no more: others may take this member for dead."""
        return self.lock.lost

    def record(
        self,
        kind: str,
        location: str,
        lifetime: str,
        after: tuple[str, ...],
        data: Mapping[str, Any],
        made_ns: int,
    ) -> Artifact:
        """Write down something that is about to be made.

        Raises:
            UsageError: there would be no order any more.
            SystemRefused: it could not be written; nothing may be made.
        """
        number = self._next_number()
        new = Artifact(
            f"{self.token}.{number}",
            kind,
            location,
            lifetime,
            after,
            data,
            made_ns,
            self.scope.path,
        )
        if after:
            self._check_order(new)
        if lifetime == "member":
            self.owns_things = True
        self.append(journals.made(made_ns, number, kind, location, lifetime, after, data))
        return new

    def add(self, artifact: Artifact, more: Mapping[str, Any]) -> Artifact:
        """Write down what is known of it now that it is made."""
        self.append(journals.more(artifact.number, more))
        return artifact.with_data(more)

    def append(self, records: bytes) -> None:
        """Add to the journal of this member."""
        self.lock.append(records)
        # Threads may lose a count, and then a release looks closer than it need.
        self._written += len(records)

    def alone_wrote(self) -> bool:
        """Whether nobody else has marked anything in this journal."""
        return self.lock.size() == self._written

    def publish_for_another(self, token: str = "", more: bytes = b"") -> JournalLock:
        """A journal for a process that is about to be started; only its lock tells of it."""
        token = token or new_token()
        return self.scope.backend.publish(self.scope.name, token, journals.header(token) + more)

    def will_end_with(
        self, parent: Identity, grace: float, terminates_itself: bool = False
    ) -> None:
        """This process is a worker of another one, and has no use without it."""
        self.append(journals.worker(parent, grace, terminates_itself))

    def unresolved(self) -> list[Artifact]:
        """What this member made and nobody has cleaned, by this journal alone."""
        return journals.parse(self.token, self.lock.read(), self.scope.path).unresolved()

    def _check_order(self, new: Artifact) -> None:
        with nullcontext(self._locked_scope) if self._locked_scope else self.lock_scope() as held:
            others = ScopeSurvey(held, self.scope.path).unresolved()
        if plan.makes_cycle(new, others):
            raise UsageError(
                f"the {new.kind} {new.location!r} cannot go after {', '.join(new.after)}:"
                " that must go after it, because of its own `after` or because it contains it",
                after=new.after,
            )

    @contextmanager
    def lock_scope(self, deadline: Deadline | None = None) -> Iterator[LockedScope]:
        """Lock the scope, of which this journal is a part.

        Raises:
            ScopeGone: somebody removed it.
        """
        with self.scope.lock(deadline) as held:
            if held is None or self.lost:
                raise ScopeGone(
                    f"the scope {self.scope.path!r} was removed while this process was in it; what"
                    " is recorded there is known to nobody else",
                    path=self.scope.path,
                )
            yield held

    @contextmanager
    def undisturbed(self) -> Iterator[bool]:
        """Let a helper record and make in here: nobody ends the scope meanwhile.

        A member keeps it by being one.  A helper keeps nothing, so it has to lock it.  False
        if somebody has just ended it.
        """
        with self.scope.lock() as held:
            self._locked_scope = held
            try:
                yield held is not None and not self.lost
            finally:
                self._locked_scope = None
