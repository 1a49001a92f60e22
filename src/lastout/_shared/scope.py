"""Scope: what a user holds of one; join, make things, leave."""

from __future__ import annotations

import os
import warnings

from .._identity import new_token
from .._process.deadline import check_seconds
from .._process.report import Report
from ..backends.local import LocalBackend
from ..backends.root import check_name
from ..errors import CleanupWarning, UsageError
from . import joining, members
from .making import Making
from .reaper import Survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .artifact import Artifact
    from .members import Member
    from .membership import Membership


class Scope(Making):
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
        name: which scope; `None` for one that nobody else has, but whom it is
            given to.
        root: the directory that scopes lie in; `None` for the usual one.
        guardian: not available yet.
        wait: seconds to wait, on leaving, for all others to leave first.  It counts for
            this process only, not for its children.

    Attributes:
        name: its name.
        path: its directory; as `LASTOUT_SCOPE` it leads other programs here.

    Raises:
        UsageError: there can be no such name or root.
        RootRefused: the root cannot be trusted.
        ScopeBusy: somebody was cleaning it for more than a minute.
        SystemRefused: no space, no descriptors, no permission.
        JournalTooNew: a newer lastout is in it.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        guardian: bool = False,
        wait: float | None = None,
    ) -> None:
        self._share = False
        if guardian:
            raise UsageError(
                "guardian=True is not available yet; the next joiner cleans, or reap()"
            )
        wait = check_seconds(wait, "wait")
        name = new_token() if name is None else check_name(name)
        member = joining.enter(LocalBackend(root), name)
        if wait is not None:
            member.patience = max(wait, member.patience or 0.0)
        self._stand_for(member, share=True)

    def _stand_for(self, member: Membership, share: bool) -> None:
        self._member = member
        self._share = share  # else it may unpin
        self._left = False
        self.name = member.name
        self.path = member.path

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
        """Leave; the last member out cleans what belongs to the scope.

        Where several `Scope` objects of this process stand for the same scope,
        the process leaves with the last of them.  Leaving twice does nothing.

        Args:
            timeout: seconds for all cleaning together; what takes longer stays
                recorded, and is cleaned by the next one to join, leave or reap.

        Returns:
            A report of what was cleaned, and of what could not be.

        Raises:
            TypeError, UsageError: `timeout` is no number of seconds.
            ScopeBusy: another thread of this process is in the middle of it.
        """
        seconds = check_seconds(timeout, "timeout")
        if self._left:
            return Report()
        self._left = True
        member = self._member
        if self._share:
            member.shares -= 1
        else:
            member.pinned = False
        if member.shares or member.pinned:
            return Report()
        return member.leave(seconds)

    def members(self) -> tuple[Member, ...]:
        """Who is in the scope, dead ones that nobody cleaned up after included.

        Raises:
            UsageError: this process has left it.
            JournalTooNew, SystemRefused, ScopeBusy: it cannot be read.
        """
        member = self._membership()
        with member.hold() as held:
            return members.members(Survey(held, self.path))

    def artifacts(self) -> tuple[Artifact, ...]:
        """What is still to be cleaned, by whomever it was made, oldest first.

        Raises:
            UsageError, JournalTooNew, SystemRefused, ScopeBusy: as for `members`.
        """
        member = self._membership()
        with member.hold() as held:
            return members.artifacts(Survey(held, self.path))

    @property
    def report(self) -> Report:
        """What was cleaned up after the dead on joining, and after leaving what was then."""
        return self._member.report

    @property
    def worker(self) -> Worker:
        """What a pool takes as `initializer=`, so that its processes join, until they end."""
        self._membership()
        return Worker(*os.path.split(self.path))

    def _membership(self) -> Membership:
        if self._left or not self._member.joined:
            raise UsageError(f"this scope was left: {self!r}; join it anew, with Scope(name)")
        return self._member

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        state = "left" if self._left else "joined"
        return f"<Scope {self.name!r} in {os.path.dirname(self.path)!r}, {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        self._membership()
        return _rejoin, os.path.split(self.path)

    def __del__(self) -> None:
        # Not there if joining failed.
        if getattr(self, "_share", False) and not self._left and self._member.joined:
            self._member.pinned = True
            self._member.shares -= 1
            text = f"{self!r} was never left; this process stays in it until it ends"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=1)


class Worker:
    """Joins a scope where it is called, until that process ends; can be pickled."""

    def __init__(self, root: str, name: str) -> None:
        self._root = root
        self._name = name

    def __call__(self, *_: object) -> None:
        joining.enter(LocalBackend(self._root), self._name, pin=True)

    def __repr__(self) -> str:
        return f"Worker({self._root!r}, {self._name!r})"


def current_scope() -> Scope:
    """The scope that this process joined last, or else the one that `LASTOUT_SCOPE` names.

    In the second case it is joined now, until the process ends.

    Raises:
        UsageError: there is neither, or that cannot be a scope.
        RootRefused, ScopeBusy, SystemRefused, JournalTooNew: it cannot be joined.
    """
    latest = joining.latest()
    if latest:
        return _standing_for(latest)
    named = joining.named_by_environment()
    if named is None:
        raise UsageError(
            "this process is in no scope; join one with Scope(name), or name one in LASTOUT_SCOPE"
        )
    return _rejoin(*named)


def _rejoin(root: str, name: str) -> Scope:
    """A scope where it is unpickled: until the process ends, or somebody leaves it."""
    already = joining.joined.get(os.path.join(root, name))
    if already and already.joined:
        return _standing_for(already)
    return _standing_for(joining.enter(LocalBackend(root), name, pin=True))


def _standing_for(membership: Membership) -> Scope:
    scope = Scope.__new__(Scope)
    scope._stand_for(membership, share=False)
    return scope
