"""`lastout reap`: clean up after dead members, or print what a reap would clean.

Tested by: tests/cli/test_reap.py
"""

from __future__ import annotations

import sys
from contextlib import contextmanager

from .._scopes.kinds.table import clean, flags
from .._scopes.reaping.recovery import reap_all
from .._scopes.records.inspection import inspect
from ..backends.local import LocalBackend
from ..backends.root import check_name
from ..errors import LastoutError, UnknownKind
from . import json_output
from .list_show import describe_artifact, warn_problems, warn_strays
from .output import describe_error, print_error
from .tables import TableColumn, TextTable, is_rich, print_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

    from .._scopes.reaping.cleaning_pass import Clean
    from .._scopes.records.inspection import ScopeView
    from ..backends.base import Backend
    from ..deadline import Deadline
    from ..report import Outcome

_DONE = (
    TableColumn("SCOPE", long=True),
    TableColumn("STATUS"),
    TableColumn("SECONDS", right=True, spare=1),
    TableColumn("WHAT", long=True),
)
_DUE = (
    TableColumn("SCOPE", long=True),
    TableColumn("#", right=True),
    TableColumn("KIND"),
    TableColumn("WHAT", long=True),
)


def reap_scopes(options: Namespace) -> int:
    """Reap one scope, or all; the exit status."""
    backend = LocalBackend(options.root)
    only = None if options.name is None else check_name(options.name)
    names = [name for name in backend.scopes() if only in (None, name)]
    views = [view for view in (inspect(backend, name) for name in names) if view]
    if not options.json:
        warn_strays(backend, only)
    if options.dry_run:
        _say_if_there_is_none(options, views)
        return _say_what_is_due(backend, views, options.json)
    with _progress(views) as cleaner:
        cleaned = reap_all(backend, [view.name for view in views], only, cleaner)
    _say_if_there_is_none(options, cleaned)
    _say_what_was_done(backend, cleaned, options.json)
    return int(any(outcome.failure for outcomes in cleaned.values() for outcome in outcomes))


def _say_if_there_is_none(options: Namespace, found: Collection[object]) -> None:
    if options.name is not None and not found and not options.json:
        print_error(f"there is no scope {options.name!r}: nothing to do")


@contextmanager
def _progress(views: list[ScopeView]) -> Iterator[Clean]:
    """The function that cleans artifacts; on a terminal it shows the progress."""
    total = sum(len(view.due) for view in views)
    if not is_rich(sys.stderr) or not total:
        yield clean
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("cleaning", total=total)

        def told(kind: str, location: str, data: Mapping[str, Any], deadline: Deadline) -> None:
            try:
                clean(kind, location, data, deadline)
            finally:
                progress.advance(task)

        yield told


def _say_what_is_due(backend: Backend, views: list[ScopeView], as_json: bool) -> int:
    if as_json:
        json_output.print_document(
            backend.place, [json_output.scope_as_json(view) for view in views], dry_run=True
        )
    else:
        due = [(view, one) for view in views for one in view.artifacts if one.due]
        rows = [
            (view.name, str(place), one.artifact.kind, describe_artifact(one))
            for place, (view, one) in enumerate(due, 1)
        ]
        if rows:
            print_tables([TextTable(_DUE, rows)])
        warn_problems(views)
        for view in views:
            if view.living and any(flags(artifact.kind).ends_processes for artifact in view.due):
                text = "who still lives when its processes have ended decides about the rest"
                print_error(f"{view.name}: {text}")
    return int(any(view.due or view.problems for view in views))


def _say_what_was_done(
    backend: Backend, cleaned: Mapping[str, list[Outcome]], as_json: bool
) -> None:
    if as_json:
        scopes = [
            {"name": name, "outcomes": [json_output.outcome_as_json(one) for one in outcomes]}
            for name, outcomes in cleaned.items()
        ]
        json_output.print_document(backend.place, scopes, dry_run=False)
        return
    told = [(name, one) for name, outcomes in cleaned.items() for one in outcomes]
    rows = [(name, one.status, f"{one.seconds:.3f}", one.name) for name, one in told]
    if rows:
        print_tables([TextTable(_DONE, rows)])
    for name, outcomes in cleaned.items():
        for reason in _reasons(outcomes):
            print_error(f"{name}: {reason}")


def _reasons(outcomes: list[Outcome]) -> Iterator[str]:
    """Why things stay; that a kind cannot be had is said once, with the number of its things."""
    lacking: dict[str, list[str]] = {}
    for one in outcomes:
        if one.failure:
            error = one.failure.exception
            reason = describe_error(error)
            if isinstance(error, UnknownKind):
                lacking.setdefault(reason, []).append(one.name)
            elif _names_artifact(error):
                yield reason
            else:
                yield f"{one.name}: {reason}"
    for reason, names in lacking.items():
        yield f"{names[0] if len(names) == 1 else f'{len(names)} artifacts'}: {reason}"


def _names_artifact(error: BaseException) -> bool:
    """Whether an error's text says of which artifact it is, or it is of none."""
    return isinstance(error, LastoutError) and str(getattr(error, "location", "")) in str(error)
