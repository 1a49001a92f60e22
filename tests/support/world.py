"""A scope of many members in one process, on any backend, and the things that they make.

Each member is a `Membership` of its own, as its process would have; things are names
in a dict, so that cleaning can be watched.  What must always hold is asserted at each
cleanup (`_clean`) from what members and things did, without asking lastout.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from lastout._exits import registry
from lastout._scopes.membership.membership import Membership
from lastout._scopes.reaping import reaper
from lastout._scopes.records import liveness, members
from lastout._scopes.records.artifact import keep_here
from lastout._scopes.records.scope_lock import ScopeRef
from lastout.deadline import Deadline
from lastout.errors import LastoutError

from .fragile import FragileBackend, Killed, Mortal
from .journals import NAME, ObservedScope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lastout._scopes.records.artifact import Artifact
    from lastout.backends.base import Backend


class Thing:
    """Something that a member made; `artifact` is `None` if it was killed before it could."""

    def __init__(
        self, owner: int, kind: str, location: str, lifetime: str, after: list[str]
    ) -> None:
        self.owner = owner
        self.kind = kind
        self.location = location
        self.lifetime = lifetime
        self.after = after
        self.artifact: Artifact | None = None
        self.exists = False
        self.kept = False  # somebody asked for it, and may have been killed while at it
        self.safe = False  # that is written down
        self.done = False  # that it was cleaned is written down


class World(ObservedScope):
    """One scope on one backend, with members that join it as processes do."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.mortal = Mortal()
        self.order: dict[str, int] = {}  # tokens, in the order in which they were seen
        self.members: dict[int, Membership] = {}  # those that live
        self.things: dict[str, Thing] = {}
        self.stuck: set[str] = set()
        self.log: list[str] = []  # what was cleaned, in order
        self.wrong: list[str] = []  # what must not be
        self._seen = count()
        self._numbers = count()
        self._actor: int | None = None  # who acts now; nobody: lastout.reap()
        self._released: set[str] = set()
        self._cleaned: list[Thing] = []

    # --- what happens

    def join(self) -> Any:
        return self._act(None, self._join)

    def fork(self, parent: int) -> Any:
        return self._act(parent, self._fork, parent)

    def make(self, who: int, kind: str, location: str, lifetime: str, after: list[str]) -> Any:
        thing = Thing(who, kind, location, lifetime, after)
        return self._act(who, self._make, self.members[who], thing)

    def release(self, who: int, location: str) -> Any:
        artifact = self.things[location].artifact
        # What must go first goes with it: that is what the user asked for.
        self._released = set(self.things)
        return self._act(who, self.members[who].release, artifact)

    def keep(self, who: int, location: str) -> Any:
        thing = self.things[location]
        thing.kept = True
        outcome = self._act(who, self.members[who].keep, thing.artifact)
        thing.safe = outcome is None and thing.exists
        return outcome

    def leave(self, who: int) -> Any:
        return self._act(who, self._leave, who)

    def reap(self) -> Any:
        return self._act(None, self._reap)

    def die(self, who: int) -> None:
        member = self.members.pop(who)
        liveness.ours.discard(member.token)
        registry.unregister(member.leave_at_exit)
        member.scope.backend.close()  # type: ignore[attr-defined]

    # --- what is seen

    def seen(self) -> Any:
        """Members, artifacts and things, in words that do not depend on the backend."""
        with self.surveyed() as survey:
            if survey is None:
                found: Any = "no scope"
            else:
                there = [known.member for known in members.known(survey)]
                who = [(one.alive, one.unresolved) for one in there]
                found = who, [one.location for one in members.artifacts(survey)]
        return found, sorted(one.location for one in self.things.values() if one.exists), self.log

    def known(self) -> set[str]:
        """What is still recorded."""
        with self.surveyed() as survey:
            return {one.location for one in survey.unresolved()} if survey else set()

    # --- how it is done

    def _act(self, who: int | None, act: Callable[..., Any], *args: Any) -> Any:
        """What came of it, in words: its value, the error, or that it was killed."""
        self._actor = who
        try:
            outcome = act(*args)
            for thing in self._cleaned:
                thing.done = True
            return outcome
        except Killed:
            self.mortal.arm(None)
            if self._actor is not None and self._actor in self.members:
                self.die(self._actor)
            return "killed"
        except (LastoutError, OSError) as error:
            return type(error).__name__
        finally:
            self._actor = None
            self._released = set()
            self._cleaned = []

    def _new_member(self) -> tuple[int, Membership]:
        backend: Any = FragileBackend(self.backend, self.mortal, self._place_of)
        return next(self._numbers), Membership(ScopeRef(backend, NAME), self._clean)

    def _place_of(self, token: str) -> int:
        if token not in self.order:
            self.order[token] = next(self._seen)
        return self.order[token]

    def _join(self) -> Any:
        number, member = self._new_member()
        self.members[number] = member
        self._actor = number
        try:
            member.join()
        finally:
            keep_here(member.path, None)
        self._place_of(member.token)
        return self._outcomes(member.report)

    def _fork(self, parent: int) -> None:
        number, child = self._new_member()
        theirs = self.members[parent]
        published = theirs.journal.publish_for_another()
        # The fork: what the parent has open for it, the child has.
        parents: Any = theirs.scope.backend
        children: Any = child.scope.backend
        children.journal_locks.append(parents.journal_locks.pop())
        self.members[number] = child
        self._actor = number
        self._place_of(published.member)
        child.joined = True
        child.become_child(published)

    def _make(self, member: Membership, thing: Thing) -> None:
        after = [self.things[one].artifact for one in thing.after]
        ids = tuple(one.id for one in after if one)
        new = member.record(thing.kind, thing.location, thing.lifetime, ids, {})
        thing.exists = True
        self.things[thing.location] = thing
        thing.artifact = new
        thing.artifact = member.journal.add(new, {"made": True})

    def _leave(self, who: int) -> Any:
        member = self.members[who]
        report = member.leave()
        del self.members[who]
        return self._outcomes(report)

    def _reap(self) -> Any:
        fragile: Any = FragileBackend(self.backend, self.mortal, self._place_of)
        with ScopeRef(fragile, NAME).lock() as held:
            if held is None:
                return None
            return self._outcomes(reaper.reap(held, self.ref.path, self._clean, Deadline()))

    def _outcomes(self, report: Any) -> Any:
        outcomes = getattr(report, "outcomes", report)
        return [
            type(one.failure.exception).__name__ if one.failure else "cleaned" for one in outcomes
        ]

    # --- what must hold

    def _clean(self, kind: str, location: str, _data: Mapping[str, Any], _: Deadline) -> None:
        thing = self.things.get(location)
        if thing is None:
            return  # it was recorded, and never made
        if location in self.stuck:
            raise OSError(f"{location} is stuck")
        self.mortal.call(self._remove, thing)

    def _remove(self, thing: Thing) -> None:
        others = {who for who in self.members if who != self._actor}
        if thing.location not in self._released:
            needed = others if thing.lifetime == "scope" else others & {thing.owner}
            self._must(not needed, f"{thing.location} was cleaned under {needed}")
        self._must(not thing.safe, f"{thing.location} was to be kept")
        self._must(not thing.done, f"{thing.location} was cleaned again")
        for other in self.things.values():
            if other.exists and not other.kept:
                inside = thing.kind == "directory" and other.kind != "command"
                earlier = (
                    inside and other.location.startswith(thing.location + "/")
                ) or other.location in thing.after
                self._must(not earlier, f"{thing.location} went before {other.location}")
        self.log.append(thing.location)
        self._cleaned.append(thing)
        thing.exists = False

    def _must(self, holds: bool, else_: str) -> None:
        # An assertion that fails in a cleanup would only be reported.
        if not holds:
            self.wrong.append(else_)
