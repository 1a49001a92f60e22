"""JournalWriter: writes the journal of a member.

Recording is the hot path: it writes one line for each artifact, and takes no lock.

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
        scope: the scope that the journal lies in.
        lock: the journal, locked by this member.

    Attributes:
        token: the name of the member.
        owns_things: whether an artifact is to be cleaned when this member leaves.
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
        """Whether the journal's lock is lost, so that this member may be taken for dead."""
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
        """Record an artifact that is about to be made.

        Raises:
            UsageError: the artifact would make the order of cleaning a cycle.
            SystemRefused: the record could not be written, so the artifact must not be made.
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
        """Record data of an artifact that is known only after it was made."""
        self.append(journals.more(artifact.number, more))
        return artifact.with_data(more)

    def append(self, records: bytes) -> None:
        """Append to the journal of this member."""
        self.lock.append(records)
        # Without a lock: if two threads lose a count, a release only does a slower check.
        self._written += len(records)

    def alone_wrote(self) -> bool:
        """Whether no other process has written to this journal."""
        return self.lock.size() == self._written

    def publish_for_another(self, token: str = "", more: bytes = b"") -> JournalLock:
        """A journal for a process that is about to be started; only its lock tells of it."""
        token = token or new_token()
        return self.scope.backend.publish(self.scope.name, token, journals.header(token) + more)

    def will_end_with(
        self, parent: Identity, grace: float, terminates_itself: bool = False
    ) -> None:
        """Record that this process has to end when `parent` has; see `orphans`."""
        self.append(journals.worker(parent, grace, terminates_itself))

    def unresolved(self) -> list[Artifact]:
        """The artifacts of this member that are still to be cleaned, by this journal alone."""
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
        """Lock the scope that this journal lies in.

        Raises:
            ScopeGone: the scope was removed.
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
        """Keep the scope from ending while a helper records and makes artifacts in the block.

        An ordinary member keeps the scope by its membership.  A helper does not, so it locks
        the scope.  Gives `False` if the scope has just ended.
        """
        with self.scope.lock() as held:
            self._locked_scope = held
            try:
                yield held is not None and not self.lost
            finally:
                self._locked_scope = None
