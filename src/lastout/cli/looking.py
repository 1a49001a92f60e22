"""`lastout list` and `show`: what there is, without touching it."""

from __future__ import annotations

import os
from itertools import chain

from .._scopes.records.inspection import described, inspect
from ..backends.local import LocalBackend
from ..backends.root import check_name
from ..errors import UsageError
from . import facts
from .output import tell
from .tables import Column, Table, age, command, put, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from .._scopes.records.inspection import ArtifactView, MemberView, Process, ScopeView
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
    Column("KEEPS"),
    Column("AGE", right=True),
    Column("LEFT", right=True, spare=3),
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
    view = the_scope(backend, options.name, closely=not options.timeline)
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


def scopes(backend: Backend, closely: bool = False) -> list[ScopeView]:
    """All scopes there are."""
    views = (inspect(backend, name, closely) for name in backend.scopes())
    return [view for view in views if view]


def the_scope(backend: Backend, name: str, closely: bool = False) -> ScopeView:
    """The scope of that name.

    Raises:
        UsageError: there is none.
    """
    view = inspect(backend, check_name(name), closely)
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
        parts.append(Table(_MEMBERS, chain.from_iterable(map(_member, view.members)), _kept(view)))
    if view.guardian:
        parts.append(
            f"the guardian {view.guardian} keeps nothing: it cleans up when one is killed, and ends"
            " with the scope"
        )
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
    return described(view.artifact)


def _kept(view: ScopeView) -> str:
    """Why the scope is still there."""
    if not view.living:
        return "kept by nobody: the next to join it, or `lastout reap`, cleans up"
    whoever = "it" if view.living == 1 else "the last of them"
    return f"kept by {view.living}, until {whoever} has left or ended"


def _member(view: MemberView) -> Iterator[tuple[str, ...]]:
    """A row for each process by which it is alive; one for a member of which none is seen."""
    member = view.member
    for process in view.processes or (None,):
        pid = process.pid if process else member.pid if view.here else None
        yield (
            member.token[:8],
            "?" if pid is None else str(pid),
            member.host or "?",
            "alive" if member.alive else "dead",
            "yes" if member.keeps else "no",
            age(view.age),
            str(member.unresolved),
            _program(view, process),
        )


def _program(view: MemberView, process: Process | None) -> str:
    """What a member runs, and what else has to be known of that process."""
    member = view.member
    text = command(process.argv) if process else ""
    if view.helper or not text:
        text = ": ".join(filter(None, [command([view.program]), text]))
    if not member.alive:
        return text
    note = ""
    if member.pid is not None and not view.here:
        note = f" ({member.pid} in another container)"
    elif not process:
        note = " (cannot be seen, or has just ended)"
    elif not text:
        note = " (cannot be seen)"
    elif member.pid not in (None, process.pid):
        note = f" (came from {member.pid}, which has ended)"
    return (text or "?") + note


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
