"""Plan: the order in which artifacts are cleaned, by pure functions of values.

must go first                        |  otherwise
-------------------------------------+----------------------------------
artifacts that `after=` names        |  the last artifact made goes first,
artifacts inside a directory         |  over all members

Tested by: tests/shared/test_plan.py, tests/properties/test_plan.py
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from operator import attrgetter

from ..kinds.table import flags
from .containment import lies_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .artifact import Artifact

    Edges = dict[str, list[str]]  # id -> the ids of artifacts that must go before it


def order(
    due: Collection[Artifact], others: Collection[Artifact] = (), edges: Edges | None = None
) -> list[Artifact]:
    """The order in which `due` can be cleaned.

    Args:
        due: the artifacts to be cleaned.
        others: artifacts that stay for now.  An artifact of `due` that must go after any
            of these stays too, and is left out.
        edges: the result of `before` for all of them, if it is known already.
    """
    newest_first = _newest_first(due)
    edges = before([*newest_first, *others]) if edges is None else edges
    if not edges:
        return newest_first
    waiting = _held_up(edges, {artifact.id for artifact in others})
    return _linear([artifact for artifact in newest_first if artifact.id not in waiting], edges)


def before(artifacts: Collection[Artifact]) -> Edges:
    """Which artifacts must go before which, as `{id: ids that go before it}`."""
    edges: Edges = {}
    later = [artifact for artifact in artifacts if artifact.after]
    known = {artifact.id for artifact in artifacts} if later else set()
    for artifact in later:
        wanted = [other for other in artifact.after if other in known]
        if wanted:
            edges[artifact.id] = wanted
    for inner, outer in _inside(artifacts):
        edges.setdefault(outer, []).append(inner)
    return edges


def first(artifact: Artifact, artifacts: Collection[Artifact]) -> list[Artifact]:
    """All of `artifacts` that must go before `artifact`, directly or indirectly."""
    edges = before(artifacts)
    found: set[str] = set()
    ahead = [artifact.id]
    while ahead:
        new = [other for other in edges.get(ahead.pop(), ()) if other not in found]
        found.update(new)
        ahead.extend(new)
    return [other for other in artifacts if other.id in found and other.id != artifact.id]


def makes_cycle(new: Artifact, artifacts: Collection[Artifact]) -> bool:
    """Whether `new` would make the order of cleaning a cycle."""
    edges = before([*artifacts, new])
    seen: set[str] = set()
    ahead = list(edges.get(new.id, ()))
    while ahead:
        one = ahead.pop()
        if one == new.id:
            return True
        if one not in seen:
            seen.add(one)
            ahead.extend(edges.get(one, ()))
    return False


def _newest_first(due: Collection[Artifact]) -> list[Artifact]:
    alone = len({artifact.made_ns for artifact in due}) == len(due)
    return sorted(due, key=attrgetter("made_ns") if alone else _age, reverse=True)


def _age(artifact: Artifact) -> tuple[int, str, int]:
    return artifact.made_ns, artifact.member, artifact.number


def _inside(artifacts: Iterable[Artifact]) -> Iterable[tuple[str, str]]:
    """Pairs of ids, inner and outer, for the nearest directory around each."""
    directories: dict[str, list[str]] = {}
    for artifact in artifacts:
        if flags(artifact.kind).contains:
            directories.setdefault(artifact.location, []).append(artifact.id)
    if not directories:
        return
    nearest: dict[str, str] = {"": ""}
    for artifact in artifacts:
        place = lies_in(artifact.location, artifact.data)
        if place:
            for outer in directories.get(_nearest(place, directories, nearest), ()):
                yield artifact.id, outer


def _nearest(path: str, directories: Collection[str], nearest: dict[str, str]) -> str:
    """`path` itself or the nearest one above it that is among `directories`; empty if none."""
    asked = []
    while path not in nearest:
        asked.append(path)
        if path in directories:
            nearest[path] = path
        else:
            path = path.rpartition("/")[0]
    found = nearest[path]
    nearest.update(dict.fromkeys(asked, found))
    return found


def _held_up(edges: Edges, staying: set[str]) -> set[str]:
    """The ids of all artifacts that must go after any of `staying`, directly or indirectly."""
    later: Edges = {}
    for one, earlier in edges.items():
        for other in earlier:
            later.setdefault(other, []).append(one)
    held, ahead = set(staying), list(staying)
    while ahead:
        new = [one for one in later.get(ahead.pop(), ()) if one not in held]
        held.update(new)
        ahead.extend(new)
    return held


def _linear(newest_first: list[Artifact], edges: Edges) -> list[Artifact]:
    """A linear extension of `edges`; where they leave a choice, the newest artifact goes first."""
    rank = {artifact.id: place for place, artifact in enumerate(newest_first)}
    missing: dict[str, int] = {}
    later: Edges = {}
    for one in rank:
        earlier = [other for other in edges.get(one, ()) if other in rank]
        missing[one] = len(earlier)
        for other in earlier:
            later.setdefault(other, []).append(one)
    ready = [place for one, place in rank.items() if not missing[one]]
    heapify(ready)
    ordered: list[Artifact] = []
    while len(ordered) < len(rank):
        if not ready:
            # A cycle, though recording refuses cycles, so records were lost.  All artifacts
            # still have to go, so break the cycle at the newest.
            ready.append(next(rank[one] for one in rank if missing[one] > 0))
        artifact = newest_first[heappop(ready)]
        missing[artifact.id] = 0  # for an artifact in a cycle, which still waited for another
        ordered.append(artifact)
        for one in later.get(artifact.id, ()):
            missing[one] -= 1
            if missing[one] == 0:
                heappush(ready, rank[one])
    return ordered
