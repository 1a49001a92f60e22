"""`lastout list` and `show`: print scopes without changing them.

Tested by: tests/cli/test_list_show.py, tests/cli/test_keeping.py
"""

from __future__ import annotations

import os
from itertools import chain

from .._scopes.records.inspection import described, inspect
from ..backends.local import LocalBackend
from ..backends.root import check_name
from ..errors import UsageError
from . import json_output
from .output import print_error
from .tables import TableColumn, TextTable, format_age, format_size, print_tables, shorten_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from .._scopes.records.inspection import ArtifactView, MemberView, Process, ScopeView
    from ..backends.base import Backend

_SCOPES = (
    TableColumn("SCOPE", long=True),
    TableColumn("STATE"),
    TableColumn("ALIVE", right=True),
    TableColumn("DEAD", right=True),
    TableColumn("ARTIFACTS", right=True),
    TableColumn("AGE", right=True, spare=1),
)
_MEMBERS = (
    TableColumn("MEMBER", spare=1),
    TableColumn("PID", right=True),
    TableColumn("HOST", spare=2),
    TableColumn("STATE"),
    TableColumn("KEEPS"),
    TableColumn("AGE", right=True),
    TableColumn("LEFT", right=True, spare=3),
    TableColumn("PROGRAM", long=True),
)
_ARTIFACTS = (
    TableColumn("#", right=True),
    TableColumn("KIND"),
    TableColumn("WHAT", long=True),
    TableColumn("GOES", spare=3),
    TableColumn("MEMBER", spare=1),
    TableColumn("AGE", right=True, spare=2),
    TableColumn("SIZE", right=True),
)


def list_or_show(options: Namespace) -> int:
    """List or show, as `options.action` says; the exit status."""
    backend = LocalBackend(options.root)
    if options.action == "list":
        views = inspect_scopes(backend)
        print_list(backend, views, options.json)
        return 0
    view = require_scope(backend, options.name, closely=not options.timeline)
    if options.timeline:
        from .timeline.picture import write_scope_picture

        write_scope_picture(backend, view, options.timeline)
        return 0
    if options.json:
        json_output.print_document(backend.place, [json_output.scope_as_json(view)])
    else:
        print_tables(scope_parts(view))
        warn_problems([view])
    return 0


def inspect_scopes(backend: Backend, closely: bool = False) -> list[ScopeView]:
    """All existing scopes."""
    views = (inspect(backend, name, closely) for name in backend.scopes())
    return [view for view in views if view]


def require_scope(backend: Backend, name: str, closely: bool = False) -> ScopeView:
    """The scope of that name.

    Raises:
        UsageError: there is none.
    """
    view = inspect(backend, check_name(name), closely)
    if view is None:
        there = ", ".join(backend.scopes()) or "none"
        raise UsageError(f"there is no scope {name!r} in {backend.place!r}; there are: {there}")
    return view


def print_list(backend: LocalBackend, views: Sequence[ScopeView], as_json: bool) -> None:
    """Print all scopes."""
    if as_json:
        json_output.print_document(
            backend.place, [json_output.scope_as_json(view) for view in views]
        )
        return
    warn_strays(backend)
    if views:
        print_tables([scopes_table(views), *_helpers(views)])
    else:
        print_error(f"there are no scopes in {backend.place!r}")
    warn_problems(views)


def scopes_table(views: Sequence[ScopeView]) -> TextTable:
    """The scopes, one in a row."""
    return TextTable(
        _SCOPES,
        [
            (
                view.name,
                view.state,
                str(view.living),
                str(view.dead),
                str(len(view.artifacts)),
                format_age(view.age),
            )
            for view in views
        ],
    )


def _helpers(views: Sequence[ScopeView]) -> Iterator[str]:
    """A line for each process that holds a journal and does not count as a living member."""
    for view in views:
        for one in view.members:
            if one.helper and one.member.alive and one.member.unresolved:
                yield (
                    f"{view.name}: the {one.program} {one.member.pid} holds"
                    f" {one.member.unresolved} of these, until the last member leaves"
                )


def scope_parts(view: ScopeView) -> list[TextTable | str]:
    """One scope, its members, and its artifacts in the order in which they would be cleaned."""
    parts: list[TextTable | str] = [
        f"{view.name}: {view.state}, {view.living} alive, {view.dead} dead",
        view.path,
    ]
    if view.members:
        parts.append(
            TextTable(_MEMBERS, chain.from_iterable(map(_member, view.members)), _kept(view))
        )
    if view.guardian:
        parts.append(
            f"the guardian {view.guardian} keeps nothing: it cleans up when one is killed, and ends"
            " with the scope"
        )
    if view.artifacts:
        rows = [_artifact(place, one) for place, one in enumerate(view.artifacts, 1)]
        parts.append(TextTable(_ARTIFACTS, rows, "in the order in which they would go"))
    return parts


def warn_problems(views: Sequence[ScopeView]) -> None:
    """Print the problems that keep scopes from being read or cleaned."""
    for view in views:
        for problem in view.problems:
            print_error(f"{view.name}: {problem}")


def warn_strays(backend: LocalBackend, only: str | None = None) -> None:
    """Print files and links among the scopes, because lastout will never remove them."""
    for name in backend.strays():
        if only in (None, name):
            path = os.path.join(backend.place, name)
            kind = "a link" if os.path.islink(path) else "no directory"
            print_error(f"{path!r} is {kind}, so it is no scope, and left alone; move it away")


def describe_artifact(view: ArtifactView) -> str:
    """An artifact described for people: its place, or the command line."""
    return described(view.artifact)


def _kept(view: ScopeView) -> str:
    """The reason why the scope still exists."""
    if not view.living:
        return "kept by nobody: the next to join it, or `lastout reap`, cleans up"
    whoever = "it" if view.living == 1 else "the last of them"
    return f"kept by {view.living}, until {whoever} has left or ended"


def _member(view: MemberView) -> Iterator[tuple[str, ...]]:
    """A row for each process that keeps the member alive; one row if none can be seen."""
    member = view.member
    for process in view.processes or (None,):
        pid = process.pid if process else member.pid if view.here else None
        yield (
            member.token[:8],
            "?" if pid is None else str(pid),
            member.host or "?",
            "alive" if member.alive else "dead",
            "yes" if member.keeps else "no",
            format_age(view.age),
            str(member.unresolved),
            _program(view, process),
        )


def _program(view: MemberView, process: Process | None) -> str:
    """The command of a member's process, with remarks about that process."""
    member = view.member
    text = shorten_command(process.argv) if process else ""
    if view.helper or not text:
        text = ": ".join(filter(None, [shorten_command([view.program]), text]))
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
        describe_artifact(view),
        "now" if view.due else "with its member" if with_maker else "last one out",
        view.artifact.member[:8],
        format_age(view.age),
        format_size(view.size.bytes, view.size.complete) if view.size else "",
    )
