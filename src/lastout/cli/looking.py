"""`lastout list` and `show`: what there is, without touching it."""

from __future__ import annotations

import os

from .._shared.inspection import inspect
from ..backends.local import LocalBackend
from ..backends.root import check_name
from ..errors import UsageError
from . import facts
from .output import tell
from .tables import Column, Table, age, put, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from .._shared.inspection import ArtifactView, MemberView, ScopeView
    from ..backends.base import Backend

_SCOPES = (
    Column("SCOPE", long=True),
    Column("STATE"),
    Column("ALIVE", right=True),
    Column("DEAD", right=True),
    Column("ARTIFACTS", right=True),
    Column("AGE", right=True, spare=1),
)
_MEMBERS = (
    Column("MEMBER", spare=1),
    Column("PID", right=True),
    Column("HOST", spare=2),
    Column("STATE"),
    Column("AGE", right=True, spare=3),
    Column("LEFT", right=True),
    Column("PROGRAM", long=True),
)
_ARTIFACTS = (
    Column("#", right=True),
    Column("KIND"),
    Column("WHAT", long=True),
    Column("GOES", spare=3),
    Column("MEMBER", spare=1),
    Column("AGE", right=True, spare=2),
    Column("SIZE", right=True),
)


def look(options: Namespace) -> int:
    """List or show, as `options.action` says; the exit status."""
    backend = LocalBackend(options.root)
    if options.action == "list":
        views = scopes(backend)
        put_list(backend, views, options.json)
        return 0
    view = the_scope(backend, options.name, sizes=not options.timeline)
    if options.timeline:
        from .timeline import write

        write(backend, view, options.timeline)
        return 0
    if options.json:
        facts.put(backend.place, [facts.of_scope(view)])
    else:
        put(details(view))
        complain([view])
    return 0


def scopes(backend: Backend, sizes: bool = False) -> list[ScopeView]:
    """All scopes there are."""
    views = (inspect(backend, name, sizes) for name in backend.scopes())
    return [view for view in views if view]


def the_scope(backend: Backend, name: str, sizes: bool = False) -> ScopeView:
    """The scope of that name.

    Raises:
        UsageError: there is none.
    """
    view = inspect(backend, check_name(name), sizes)
    if view is None:
        there = ", ".join(backend.scopes()) or "none"
        raise UsageError(f"there is no scope {name!r} in {backend.place!r}; there are: {there}")
    return view


def put_list(backend: LocalBackend, views: Sequence[ScopeView], as_json: bool) -> None:
    """Print what scopes there are."""
    if as_json:
        facts.put(backend.place, [facts.of_scope(view) for view in views])
        return
    point_out_strays(backend)
    if views:
        put([overview(views), *_helpers(views)])
    else:
        tell(f"there are no scopes in {backend.place!r}")
    complain(views)


def overview(views: Sequence[ScopeView]) -> Table:
    """The scopes, one in a row."""
    return Table(
        _SCOPES,
        [
            (
                view.name,
                view.state,
                str(view.living),
                str(view.dead),
                str(len(view.artifacts)),
                age(view.age),
            )
            for view in views
        ],
    )


def _helpers(views: Sequence[ScopeView]) -> Iterator[str]:
    """A line for each process that holds something and does not count as alive."""
    for view in views:
        for one in view.members:
            if one.helper and one.member.alive and one.member.unresolved:
                yield (
                    f"{view.name}: the {one.program} {one.member.pid} holds"
                    f" {one.member.unresolved} of these, until the last member leaves"
                )


def details(view: ScopeView) -> list[Table | str]:
    """One scope, its members, and its artifacts in the order in which they would go."""
    parts: list[Table | str] = [
        f"{view.name}: {view.state}, {view.living} alive, {view.dead} dead",
        view.path,
    ]
    if view.members:
        parts.append(Table(_MEMBERS, map(_member, view.members)))
    if view.artifacts:
        rows = [_artifact(place, one) for place, one in enumerate(view.artifacts, 1)]
        parts.append(Table(_ARTIFACTS, rows, "in the order in which they would go"))
    return parts


def complain(views: Sequence[ScopeView]) -> None:
    """Say what keeps scopes from being read or cleaned."""
    for view in views:
        for problem in view.problems:
            tell(f"{view.name}: {problem}")


def point_out_strays(backend: LocalBackend, only: str | None = None) -> None:
    """Say what lies among the scopes and is none, so that nobody waits for it to go."""
    for name in backend.strays():
        if only in (None, name):
            path = os.path.join(backend.place, name)
            kind = "a link" if os.path.islink(path) else "no directory"
            tell(f"{path!r} is {kind}, so it is no scope, and left alone; move it away")


def what(view: ArtifactView) -> str:
    """What an artifact is, for people: its place, or the command line."""
    words = view.artifact.data.get("argv")
    return " ".join(words) if words else view.artifact.location


def _member(view: MemberView) -> tuple[str, ...]:
    member = view.member
    return (
        member.token[:8],
        "?" if member.pid is None else str(member.pid),
        member.host or "?",
        "alive" if member.alive else "dead",
        age(view.age),
        str(member.unresolved),
        view.program,
    )


def _artifact(place: int, view: ArtifactView) -> tuple[str, ...]:
    with_maker = view.artifact.lifetime == "member"
    return (
        str(place),
        view.artifact.kind,
        what(view),
        "now" if view.due else "with its member" if with_maker else "last one out",
        view.artifact.member[:8],
        age(view.age),
        size(view.size.bytes, view.size.complete) if view.size else "",
    )
