"""ArtifactRecorder: records each artifact before it exists.

recipe: choose its name  -->  record  -->  create it  -->  record data that are known only now

Tested by: tests/shared/test_scope.py
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ..errors import UsageError
from . import tracking
from .records.artifact import LIFETIMES, Artifact
from .records.liveness import is_helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    from .kinds.base import BuiltInKind, Recipe
    from .membership.membership import Membership

    After = Artifact | object | Iterable[Artifact | object]
    Thing = TypeVar("Thing")

# The artifact of each object (a Popen, shared memory) that a user got.
_artifacts: WeakKeyDictionary[object, Artifact] = WeakKeyDictionary()


class ArtifactRecorder:
    """The part of a scope that records artifacts and has them made."""

    path: str

    def _membership(self) -> Membership:
        raise NotImplementedError

    def artifact_of(self, made: object) -> Artifact:
        """The artifact behind a `Popen`, shared memory or semaphore that this process made here.

        Raises:
            UsageError: no scope in this process made it.
        """
        try:
            return _artifacts[made]
        except (KeyError, TypeError):
            raise UsageError(f"{made!r} was not made by a scope in this process") from None

    def _made(self, kind: BuiltInKind, recipe: Recipe[Thing], lifetime: str, after: After) -> Thing:
        """Record an artifact and make it; returns the object for the user."""
        artifact, thing = self._record_and_make(kind, recipe, lifetime, after)
        assert thing is not None
        _artifacts[thing] = artifact
        return thing

    def _record(self, kind: str, recipe: Recipe[object], lifetime: str, after: After) -> Artifact:
        """Record an artifact, and make it unless it exists already; returns the artifact."""
        return self._record_and_make(kind, recipe, lifetime, after)[0]

    def _record_and_make(
        self, kind: str, recipe: Recipe[Thing], lifetime: str, after: After
    ) -> tuple[Artifact, Thing | None]:
        if lifetime not in LIFETIMES:
            self._membership()
            raise UsageError(f"lifetime must be one of {LIFETIMES}, not {lifetime!r}")
        while True:
            member = self._membership()
            with member.busy:
                if not is_helper(member.token):
                    return self._make_as(member, kind, recipe, lifetime, after)
                with member.journal.undisturbed() as there:
                    if there:
                        return self._make_as(member, kind, recipe, lifetime, after)
            member.end()

    def _make_as(
        self, member: Membership, kind: str, recipe: Recipe[Thing], lifetime: str, after: After
    ) -> tuple[Artifact, Thing | None]:
        ids = self._ids(after)
        artifact = member.record(kind, recipe.location, lifetime, ids, recipe.data)
        if recipe.create is None:
            return artifact, None
        try:
            created = recipe.create()
        except Exception:
            # Forgotten, because a failed recipe leaves nothing behind, so a thing at the location
            # may belong to another program.
            member.keep(artifact)
            raise
        made, more = tracking.check_created(kind, created)
        if more:
            artifact = member.journal.add(artifact, more)
        return artifact, made

    def _ids(self, after: After) -> tuple[str, ...]:
        several = after if isinstance(after, (tuple, list, set, frozenset)) else (after,)
        found = []
        for one in several:
            artifact = one if isinstance(one, Artifact) else self.artifact_of(one)
            if artifact.scope != self.path:
                raise UsageError(f"{artifact!r} is in another scope, {artifact.scope!r}")
            found.append(artifact.id)
        return tuple(found)
