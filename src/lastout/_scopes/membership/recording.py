"""JournalWriter: the part of a membership that writes in its journal.

It is the hot path: one line for each thing that is made, and nothing held meanwhile.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from time import monotonic_ns

from ..._identity import here, new_token
from ..._platform import counter, pids
from ...errors import ScopeGone, UsageError
from ..guardian.client import GuardianClient
from ..records import journal as journals
from ..records import plan
from ..records.artifact import Artifact
from ..records.scope_lock import hold
from ..records.survey import ScopeSurvey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..._identity import Identity
    from ...backends.base import Backend, JournalLock, LockedScope
    from ...deadline import Deadline


class JournalWriter:
    """One member's journal, and what it writes there.

    Args:
        backend: where members meet.
        name: the scope.

    Attributes:
        path: the path of the scope.
        token: this member's name in it.
        joined: whether this process is in.
        journal_lock: its journal.
        owns_things: whether anything goes with this member.
        guardian: how it sees to it that the scope has one, if it wants one.
        end_workers: whether processes of no use without this one end with it; `None`: if
            the scope has a guardian.
        worker_grace: seconds that they have to end by themselves.
    """

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.name = name
        self.path = os.path.join(backend.place, name)
        self.token = ""
        self.joined = False
        self.journal_lock: JournalLock
        self.guardian = GuardianClient(self.path)
        self.end_workers: bool | None = None
        self.worker_grace = 0.0
        self.start_anew()

    def start_anew(self) -> None:
        """As a new member, that has recorded nothing."""
        self._pid = os.getpid()
        self._user, self._root = os.geteuid(), _root()
        self._next_number = counter()
        self._written = 0
        self._undisturbed_by: LockedScope | None = None
        self.owns_things = False

    def take(self, journal_lock: JournalLock) -> None:
        """Write in this journal from now on."""
        self.journal_lock = journal_lock
        self._written = journal_lock.size()

    def record(
        self,
        kind: str,
        location: str,
        lifetime: str,
        after: tuple[str, ...],
        data: Mapping[str, Any],
    ) -> Artifact:
        """Write down something that is about to be made.

        Raises:
            UsageError: this process is not in the scope, or there would be no
                order any more.
            SystemRefused: it could not be written; nothing may be made.
        """
        if not self.joined or self._pid != os.getpid():
            self.check()
        number, ns = self._next_number(), monotonic_ns()
        if ns > self.guardian.due and self.can_reach():
            self.guardian.look()
        new = Artifact(
            f"{self.token}.{number}", kind, location, lifetime, after, data, ns, self.path
        )
        if after:
            self._check_order(new)
        if lifetime == "member":
            self.owns_things = True
        self.append(journals.made(ns, number, kind, location, lifetime, after, data))
        return new

    def add(self, artifact: Artifact, more: Mapping[str, Any]) -> Artifact:
        """Write down what is known of it now that it is made."""
        self.append(journals.more(artifact.number, more))
        return artifact.with_data(more)

    def append(self, records: bytes) -> None:
        """Add to the journal of this member."""
        self.journal_lock.append(records)
        # Threads may lose a count, and then a release looks closer than it need.
        self._written += len(records)

    def alone_wrote(self) -> bool:
        """Whether nobody else has marked anything in this member's journal."""
        return self.journal_lock.size() == self._written

    def can_reach(self) -> bool:
        """Whether this process can still get to the scope: not after it gave up root."""
        return self._user == os.geteuid() and self.finds_things()

    def finds_things(self) -> bool:
        """Whether a path still means what it did: not after it changed its root directory."""
        return self._root == _root()

    def check(self) -> None:
        """Raise `UsageError` unless this process is in the scope."""
        if not self.joined:
            raise UsageError(f"this process has left the scope {self.path!r}; join it anew")
        if self._pid != os.getpid():
            raise UsageError(
                f"this process was forked behind Python's back, or could not be made a member"
                f" when it was, and is not in the scope {self.path!r}; join it with"
                f" Scope({self.name!r})"
            )

    def _check_order(self, new: Artifact) -> None:
        with nullcontext(self._undisturbed_by) if self._undisturbed_by else self.hold() as held:
            others = ScopeSurvey(held, self.path).unresolved()
        if plan.makes_cycle(new, others):
            raise UsageError(
                f"the {new.kind} {new.location!r} cannot go after {', '.join(new.after)}:"
                " that must go after it, because of its own `after` or because it contains it",
                after=new.after,
            )

    def grace(self) -> float | None:
        """Seconds that workers have when this process has ended; `None` if nobody ends them."""
        wanted = self.end_workers
        if wanted is None:
            wanted = self.guardian.wanted and pids.has_pidfds()
        return self.worker_grace if wanted else None

    def publish_for_another(self, token: str = "", more: bytes = b"") -> JournalLock:
        """A journal for a process that is about to be started; only its lock tells of it."""
        token = token or new_token()
        return self.backend.publish(self.name, token, journals.header(token) + more)

    def will_end_with(
        self, parent: Identity, grace: float, terminates_itself: bool = False
    ) -> None:
        """This process is a worker of another one, and has no use without it."""
        self.append(journals.worker(parent, grace, terminates_itself))

    def will_outlive_parent(self) -> None:
        """This process goes on without its parent, though that had it down as a worker."""
        grace = self.grace()
        if grace is not None:
            self.will_end_with(here(), grace)  # with itself, that is

    @contextmanager
    def undisturbed(self) -> Iterator[bool]:
        """Let a helper record and make in here: nobody ends the scope meanwhile.

        A member keeps it by being one.  A helper keeps nothing, so it has to hold it.  False
        if somebody has just ended it.
        """
        with hold(self.backend, self.name, self.path) as held:
            self._undisturbed_by = held
            try:
                yield held is not None and not self.journal_lock.lost
            finally:
                self._undisturbed_by = None

    @contextmanager
    def hold(self, deadline: Deadline | None = None) -> Iterator[LockedScope]:
        """The scope, held.

        Raises:
            ScopeGone: somebody removed it.
        """
        with hold(self.backend, self.name, self.path, deadline) as held:
            if held is None or self.journal_lock.lost:
                raise ScopeGone(
                    f"the scope {self.path!r} was removed while this process was in it; what is"
                    " recorded there is known to nobody else",
                    path=self.path,
                )
            yield held


def _root() -> tuple[int, ...]:
    """Where paths begin."""
    try:
        found = os.stat("/")
    except OSError:
        return ()
    return found.st_dev, found.st_ino
