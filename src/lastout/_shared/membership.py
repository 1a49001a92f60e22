"""Membership: that this process is in a scope; from joining to leaving.

    join():   reap the dead, then publish a journal     (the scope held)
    record(): one line in it, before the thing is made  (nothing held)
    leave():  what is this member's own, then           (nothing held)
              reap the dead and oneself                 (the scope held)

There is one for each scope that this process joined, however many `Scope`
objects stand for it; the last of them to leave ends it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import count
from threading import Condition, RLock, get_ident
from time import monotonic_ns

from .._identity import here, new_token
from .._platform import show_unraisable
from .._process import registry
from .._process.deadline import Deadline
from .._process.report import Report
from ..errors import JournalTooNew, ScopeBusy, ScopeGone, UsageError
from . import journal as journals
from . import lease as leases
from . import makers, plan
from .artifact import Artifact, keep_here
from .hold import PATIENCE, hold
from .leave import Leaver
from .reaper import Survey, reap
from .release import Releaser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..backends.base import Backend, Held, Lease
    from .reaper import Clean


# The scopes that this process is in, in the order in which it joined them.
joined: dict[str, Membership] = {}


class Membership:
    """This process in one scope.

    Args:
        backend: where members meet.
        name: the scope.
        clean: how an artifact is removed.

    Attributes:
        path: the path of the scope.
        token: this member's name in it.
        shares: how many `Scope` objects have yet to leave.
        pinned: whether it lasts until the process ends, whoever leaves.
        joined: whether this process is in.
        patience: seconds to wait, on leaving, for all others to leave first.
        report: what was cleaned when it joined; when it has left, on leaving.
        owns_things: whether anything goes with this member.
        resolved: the numbers of its artifacts that it released or kept.
    """

    def __init__(self, backend: Backend, name: str, clean: Clean) -> None:
        self.backend = backend
        self.name = name
        self.path = os.path.join(backend.place, name)
        self.clean = clean
        self.shares = 0
        self.pinned = False
        self.joined = False
        self.patience: float | None
        self.report = Report()
        self.token = ""
        self.lease: Lease
        self._new_locks()
        self._begin()

    def _new_locks(self) -> None:
        """In a new process, where nobody is in the middle of anything."""
        self._guard = RLock()
        self._writing = RLock()
        self._releasing: list[int] = []
        self._released = Condition()

    def _begin(self) -> None:
        """As a new member, that has recorded nothing."""
        self._pid = os.getpid()
        self._numbers = count(1)
        self._written = 0
        self.owns_things = False
        self.patience = None
        self.resolved: set[int] = set()

    # Joining.

    def join(self) -> None:
        """Join, unless that was done.

        Raises:
            JournalTooNew: a newer lastout is in the scope.
            ScopeBusy, SystemRefused, RootRefused: the scope cannot be used.
        """
        with self.guarded(PATIENCE):
            if self.joined:
                return
            self._begin()
            self.report = Report()
            while not self._try_to_join():
                continue  # the dead were the last ones: that scope is no more
            self.joined = True
            leases.ours.add(self.token)
            keep_here(self.path, self)
            registry.register(self.leave_at_exit)

    def _try_to_join(self) -> bool:
        with hold(self.backend, self.name, self.path, create=True) as held:
            assert held is not None
            if held.members():
                reaped = reap(held, self.path, self.clean, Deadline())
                self.report = Report([*self.report, *reaped.outcomes])
                for outcome in reaped.outcomes:
                    if outcome.failure and isinstance(outcome.failure.exception, JournalTooNew):
                        raise outcome.failure.exception
                if reaped.swept:
                    return False
            # It joined itself: to go on as another program is still to be here.
            who = here()
            who.image = 0
            self.token = new_token()
            first = journals.header(self.token) + journals.join(monotonic_ns(), who)
            self._take(held.publish(self.token, first))
            return True

    def _take(self, lease: Lease) -> None:
        self.lease = lease
        self._written = lease.size()

    # Recording.

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
        number, ns = next(self._numbers), monotonic_ns()
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
        with self._writing:
            self.lease.append(records)
            self._written += len(records)

    def alone_wrote(self) -> bool:
        """Whether nobody else has marked anything in this member's journal."""
        return self.lease.size() == self._written

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
        with self.hold() as held:
            others = Survey(held, self.path).unresolved()
        if plan.makes_cycle(new, others):
            raise UsageError(
                f"the {new.kind} {new.location!r} cannot go after {', '.join(new.after)}:"
                " that must go after it, because of its own `after` or because it contains it",
                after=new.after,
            )

    # Looking, and taking back.

    @contextmanager
    def hold(self, deadline: Deadline | None = None) -> Iterator[Held]:
        """The scope, held.

        Raises:
            ScopeGone: somebody removed it.
        """
        with hold(self.backend, self.name, self.path, deadline) as held:
            if held is None or self.lease.lost:
                raise ScopeGone(
                    f"the scope {self.path!r} was removed while this process was in it; what is"
                    " recorded there is known to nobody else",
                    path=self.path,
                )
            yield held

    def release(self, artifact: Artifact) -> None:
        """Clean it now; see `Artifact.release`."""
        self.check()
        with self._released:
            self._releasing.append(get_ident())
        try:
            Releaser(self).release(artifact)
        finally:
            with self._released:
                self._releasing.remove(get_ident())
                self._released.notify_all()

    def keep(self, artifact: Artifact) -> None:
        """Forget it; see `Artifact.keep`."""
        self.check()
        Releaser(self).keep(artifact)
        makers.forget(artifact.kind, artifact.location, artifact.data)

    def settle(self, deadline: Deadline) -> bool:
        """Wait until no other thread is releasing anything; whether that came in time."""
        me = get_ident()
        with self._released:
            return self._released.wait_for(
                lambda: all(thread == me for thread in self._releasing), deadline.left()
            )

    # Leaving.

    def leave(self, timeout: float | None = None) -> Report:
        """Leave: clean what is one's own, and the rest if nobody is left.

        Nothing that fails comes out of here: it is in the report, and what
        could not be cleaned stays recorded.

        Args:
            timeout: seconds for all cleaning together; `None` for no limit but
                the one that each artifact has.

        Raises:
            ScopeBusy: another thread is leaving, and takes longer than that.
        """
        if self._pid != os.getpid():
            return Report()  # a fork that nobody told us of: the parent's affair
        with self.guarded(PATIENCE if timeout is None else timeout):
            if self.joined:
                self.report = Leaver(self).leave(Deadline(timeout))
                self._end()
            return self.report

    def leave_at_exit(self) -> None:
        """Leave because the process ends; each failure is shown."""
        for outcome in self.leave():
            if outcome.failure:
                show_unraisable(outcome.failure.exception, self.leave_at_exit)

    def _end(self) -> None:
        self.lease.give_up()
        self.joined = self.pinned = False
        joined.pop(self.path, None)
        leases.ours.discard(self.token)
        keep_here(self.path, None)
        registry.unregister(self.leave_at_exit)

    @contextmanager
    def guarded(self, seconds: float) -> Iterator[None]:
        """No other thread joins or leaves meanwhile."""
        if not self._guard.acquire(timeout=seconds):
            raise ScopeBusy(
                f"another thread of this process joins or leaves the scope {self.path!r}, and did"
                f" not come to an end in {seconds} s",
                path=self.path,
            )
        try:
            yield
        finally:
            self._guard.release()

    # Forks; see `handover`.

    def become_child(self, lease: Lease) -> None:
        """This process was forked, and is a member of its own by `lease`."""
        leases.ours.discard(self.token)
        self._new_locks()
        self._begin()
        self.token = lease.member
        self._take(lease)
        leases.ours.add(self.token)
        registry.register(self.leave_at_exit)
        self.append(journals.join(monotonic_ns(), here()))

    def join_late(self) -> None:
        """This process was forked, and nothing could be handed over."""
        parents = self.lease
        leases.ours.discard(self.token)
        self._new_locks()
        self._begin()
        self.joined = False
        try:
            self.join()
        finally:
            if self.joined:
                parents.close()
            else:
                joined.pop(self.path, None)
                keep_here(self.path, None)
