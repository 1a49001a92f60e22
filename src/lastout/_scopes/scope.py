"""Scope: the object by which users join a scope, make artifacts in it, and leave it.

Tested by: tests/shared/test_scope.py, tests/shared/test_joining.py
"""

from __future__ import annotations

import os
import warnings
from functools import partial

from .._exits.children import do_in_children
from .._exits.forkserver import is_forkserver
from .._identity import new_token
from .._platform import pids
from .._platform.imports import public
from ..backends.local import LocalBackend
from ..backends.root import check_name
from ..deadline import check_seconds
from ..errors import CleanupWarning, UsageError
from ..report import Report
from .artifact_methods import ArtifactMethods
from .membership import joining, workers
from .membership.exit_places import keep_place
from .membership.holder_set import PROCESS, MembershipHolder
from .membership.workers import Worker
from .records import members
from .records.scope_lock import PATIENCE
from .records.survey import ScopeSurvey
from .without import BackgroundProcesses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from .membership.membership import Membership
    from .records.artifact import Artifact
    from .records.members import Member

# The scopes that were made in this fork server, and that only its children join.
_deferred_here: list[Scope] = []


@public
class Scope(ArtifactMethods, BackgroundProcesses):
    """A set of processes that share artifacts; the last one out cleans them.

    Making one joins the scope; leaving the `with` block, `leave()`, or the end
    of the process leaves it.  All processes of this user that give the same
    name (and root) are in the same scope.  A forked child is a member from its
    first moment; a pickled scope joins where it is unpickled, until that
    process ends::

        with Scope("render") as scope:
            frames = scope.directory()                     # goes with the last one out
            scratch = scope.directory(lifetime="member")   # goes with this process

    Args:
        name: the name of the scope; `None` for a new name, so that only processes that are
            given this scope join it.
        root: the directory that scopes lie in; `None` for the usual directory.
        trust_root: whether to rely on locks in the root, though its file system is not known
            for reliable locks.  The decision is recorded in the root, and holds for all its
            users.
        guardian: whether a small separate process is to clean up as soon as a member is killed.
            The scope then has it for all members.  If it cannot be started, lastout warns
            (`GuardianWarning`), and the scope works without it.
        wait: seconds to wait, on leaving, for all other members to leave first.  Children of
            this process do not wait.
        end_workers: whether processes that join by `worker` end after this process has ended,
            in any way: by SIGTERM, and by SIGKILL after `worker_grace` seconds.  The guardian
            does it, or else the next `lastout.reap()`.  `None`: if the scope has a guardian.
        worker_grace: seconds from SIGTERM to SIGKILL for these processes.

    Attributes:
        name: the name of the scope.
        path: its directory; a program that has it as `LASTOUT_SCOPE` finds the scope by it.

    Raises:
        UsageError: no scope can have this name, or no root this path.
        RootRefused: the root cannot be trusted.
        ScopeBusy: another process was cleaning the scope for more than a minute.
        SystemRefused: no space, no descriptors or no permission.
        JournalTooNew: a newer lastout has written a journal in the scope.
    """

    # The values for a scope that was unpickled or found by `current_scope`, not made by its name.
    _member: Membership | None = None
    _holder: MembershipHolder | None = None
    _deferred: Callable[[], None] | None = None
    _end_workers: bool | None = None
    _wants_guardian = False
    _worker_grace: float = workers.GRACE

    def __init__(
        self,
        name: str | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        trust_root: bool = False,
        guardian: bool = False,
        wait: float | None = None,
        end_workers: bool | None = None,
        worker_grace: float = workers.GRACE,
    ) -> None:
        wait = check_seconds(wait, "wait")
        self._end_workers, self._worker_grace = workers.check(end_workers, worker_grace)
        self._wants_guardian = bool(guardian)
        name = new_token() if name is None else check_name(name)
        self._join_or_defer(LocalBackend(root, trust_root), name, partial(self._join, wait))

    def _join_or_defer(
        self, backend: LocalBackend, name: str, join: Callable[[LocalBackend, str], None]
    ) -> None:
        """Join now; in a fork server only the children join, unless the server uses the scope."""
        if not is_forkserver():
            join(backend, name)
            return
        self.name = name
        self.path = os.path.join(backend.place, name)
        self._left, self._holder = False, None
        self._deferred = partial(join, backend, name)
        keep_place(self.path)
        _deferred_here.append(self)
        do_in_children(self._join_in_child)

    def _join_in_child(self) -> None:
        _deferred_here.clear()
        self._member = None  # the membership of the server, not of this child
        if self._deferred and not self._left:
            self._deferred()
            self._deferred = None

    def _join(self, wait: float | None, backend: LocalBackend, name: str) -> None:
        holder = MembershipHolder()
        member = joining.enter(backend, name, holder)
        if wait is not None:
            member.patience = max(wait, member.patience or 0.0)
        member.workers.wanted, member.workers.seconds = self._end_workers, self._worker_grace
        self._stand_for(member, holder)
        if self._wants_guardian:
            try:
                member.guardian.want()
            except BaseException:  # Ctrl-C, or a warning that a filter made an error
                self.leave()
                raise

    def _join_pinned(self, backend: LocalBackend, name: str) -> None:
        self._stand_for(joining.enter(backend, name, PROCESS))

    def _stand_for(self, member: Membership, holder: MembershipHolder | None = None) -> None:
        self._member = member
        self._holder, self._left = holder, False
        self.name, self.path = member.name, member.path

    def __enter__(self) -> Self:
        self._membership()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for outcome in self.leave():
            if outcome.failure:
                why = outcome.failure.exception
                text = f"not cleaned when leaving the scope {self.name!r}: {outcome.name}: {why}"
                warnings.warn(text, CleanupWarning, stacklevel=2)

    def leave(self, timeout: float | None = None) -> Report:
        """Leave; the last member out cleans the artifacts of the scope.

        If this process has several `Scope` objects for the same scope, it leaves with the last
        of them.  Leaving twice does nothing.

        Args:
            timeout: seconds for all cleaning together; artifacts that take longer stay
                recorded, and the next process to join, leave or reap cleans them.

        Returns:
            A report of all cleanups, failed cleanups included.

        Raises:
            TypeError, UsageError: `timeout` is no number of seconds.
            ScopeBusy: another thread of this process was in the middle of making,
                releasing or leaving until the time was over.  This process stays in.
        """
        seconds = check_seconds(timeout, "timeout")
        member = self._member
        if member is None or not member.origin.is_here():
            self._left = self._left or self._deferred is not None  # so that no child joins it
            return Report()
        if self._left:
            return Report()
        # Decided and done under one lock, because another thread may be joining.
        with member.guarded(PATIENCE if seconds is None else seconds):
            if self._left:
                return Report()
            self._left = True
            try:
                return member.give_up(self._holders(member), seconds)
            except BaseException:
                # After Ctrl-C, or if the member was too busy, the caller can leave again.
                self._left = not member.joined
                raise

    def _holders(self, member: Membership) -> set[MembershipHolder]:
        """The holders that do not need the membership any more after this scope was left."""
        # A scope that was not made by its name represents the process.
        return {self._holder} if self._holder else member.holders.dispensable(member.token)

    def members(self) -> tuple[Member, ...]:
        """The members of the scope, including dead members that no process cleaned up after.

        Raises:
            UsageError: this process has left the scope.
            JournalTooNew, SystemRefused, ScopeBusy: the scope cannot be read.
        """
        member = self._membership()
        with member.journal.lock_scope() as held:
            found = members.known(ScopeSurvey(held, self.path))
        return members.seen(found)

    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifacts of all members that are still to be cleaned, oldest first.

        Raises:
            UsageError, JournalTooNew, SystemRefused, ScopeBusy: as for `members`.
        """
        member = self._membership()
        with member.journal.lock_scope() as held:
            return members.artifacts(ScopeSurvey(held, self.path))

    @property
    def report(self) -> Report:
        """The report of joining; after leaving, the report of leaving."""
        return self._member.report if self._member else Report()

    @property
    def worker(self) -> Worker:
        """A callable for the `initializer=` of a pool: its processes join until they end.

        Read it in the process that starts the pool, because this process becomes the parent with
        which the workers end, as `end_workers` says.
        """
        wanted = self._end_workers
        guarded = self._wants_guardian if self._deferred else self._membership().guardian.wanted
        if wanted is None:
            wanted = guarded and pids.has_pidfds()
        place, name = os.path.split(self.path)
        return Worker(place, name, self._worker_grace if wanted else None)

    def _membership(self) -> Membership:
        member = self._member
        # A fork server may have to join again, because it keeps no scope from ending.
        if self._deferred and not self._left and (member is None or not member.is_in()):
            self._deferred()
            self._deferred = self._deferred if is_forkserver() else None
            member = self._member
        if self._left or member is None or not member.joined:
            raise UsageError(f"this scope was left: {self!r}; join it anew, with Scope(name)")
        return member

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        state = "left" if self._left else "joined" if self._member else "not joined yet"
        return f"<Scope {self.name!r} in {os.path.dirname(self.path)!r}, {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        if not self._deferred:
            self._membership()
        return _rejoin, os.path.split(self.path)

    def __del__(self) -> None:
        member = self._member  # None if joining failed
        if not member or not member.joined or self._left:
            return
        if self._holder in member.holders.of_scopes(member.token):
            member.holders.add(PROCESS, member.token)
            member.holders.discard({self._holder})
            text = f"{self!r} was never left; this process stays in it until it ends"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=1)


@public
def current_scope() -> Scope:
    """The scope that this process joined last, or else the scope that `LASTOUT_SCOPE` names.

    In the second case the process joins it now, until the process ends.

    Raises:
        UsageError: there is neither, or `LASTOUT_SCOPE` cannot be the path of a scope.
        RootRefused, ScopeBusy, SystemRefused, JournalTooNew: the scope cannot be joined.
    """
    if _deferred_here and is_forkserver():
        _deferred_here[-1]._membership()
    latest = joining.latest()
    if latest:
        return _standing_for(latest)
    named = joining.named_by_environment()
    if named is None:
        raise UsageError(
            "this process is in no scope; join one with Scope(name), or name one in LASTOUT_SCOPE;"
            " the workers of a pool join by initializer=scope.worker, and those that were started"
            " before the scope when a job gets the scope as an argument"
        )
    return _rejoin(*named)


@public
def _rejoin(root: str, name: str) -> Scope:
    """Unpickle a scope: the process is in it until it ends, or leaves by a `Scope` object."""
    already = joining.joined.get(os.path.join(root, name))
    if already and already.joined:
        return _standing_for(already)
    scope = Scope.__new__(Scope)
    scope._join_or_defer(LocalBackend(root), name, scope._join_pinned)
    return scope


def _standing_for(membership: Membership) -> Scope:
    scope = Scope.__new__(Scope)
    scope._stand_for(membership)
    return scope
