"""`lastout watch`: print the list, or one scope, again after each change.

Tested by: tests/cli/test_watch.py
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from functools import partial
from time import sleep

from .._platform.changes import DirectoryChanges
from .._scopes.records.inspection import inspect
from ..backends.local import LocalBackend
from ..layout import SCOPE_LOCK
from . import json_output
from .list_show import inspect_scopes, require_scope, scope_parts, scopes_table
from .output import flush
from .tables import TextTable, as_rich, is_rich, print_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence
    from typing import Any, Final, NoReturn

    from rich.console import Console, ConsoleOptions

    from .._scopes.records.inspection import ScopeView
    from ..backends.base import Backend

    Views = Sequence[ScopeView]

_TICK: Final = 1.0  # seconds between two looks without a change, because ages grow
_REST: Final = 0.1  # seconds between two looks, at least


def watch_scopes(options: Namespace) -> int:
    """Show all scopes, or one, after each change until Ctrl-C; the exit status.

    Raises:
        UsageError: there is no scope of that name.
    """
    backend, name = LocalBackend(options.root), options.name
    if name is not None:
        require_scope(backend, name)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _end)  # so that the terminal is restored
    live = is_rich(sys.stdout) and not options.json
    show = _live if live else partial(_print, options.json)
    with (
        suppress(KeyboardInterrupt),
        DirectoryChanges(SCOPE_LOCK) as changes,
    ):  # looking itself opens it
        show(backend, name, _looks(backend, name, changes))
    return 0


def _end(signum: int, _: object) -> NoReturn:
    raise SystemExit(128 + signum)


def _looks(backend: Backend, name: str | None, changes: DirectoryChanges) -> Iterator[Views]:
    """The views, at once and after each change, but not more often than can be read."""
    while True:
        # Followed before the look, so that a change in between is noticed.
        followed = backend.scopes() if name is None else [name]
        changes.follow([backend.place, *(f"{backend.place}/{scope}" for scope in followed)])
        if name is None:
            yield inspect_scopes(backend)
        else:
            found = inspect(backend, name, closely=True)
            yield [found] if found else []
        sleep(_REST)
        changes.wait(_TICK)


def _live(backend: Backend, name: str | None, looks: Iterator[Views]) -> None:
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        for views in looks:
            live.update(_ScreenPage(as_rich(_parts(backend, name, views))), refresh=True)


class _ScreenPage:
    """A page that counts the lines that do not fit, which rich would silently leave out."""

    def __init__(self, parts: Any) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.segment import Segment

        room = options.max_height
        lines = console.render_lines(self._parts, options.update(height=None), pad=False)
        if len(lines) > room:
            below = f"{len(lines) - room + 1} more lines below"
            lines[room - 1 :] = [[Segment(below[: options.max_width])]]
        for line in lines:
            yield from line
            yield Segment.line()


def _print(as_json: bool, backend: Backend, name: str | None, looks: Iterator[Views]) -> None:
    """Print for a pipe: again only if more than the ages has changed."""
    before: object = None
    for views in looks:
        now = [_without_ages(json_output.scope_as_json(view)) for view in views]
        if now == before:
            continue
        before = now
        if as_json:
            json_output.print_document(
                backend.place, [json_output.scope_as_json(view) for view in views], compact=True
            )
        else:
            print_tables([*_parts(backend, name, views), ""])
            flush()


def _parts(backend: Backend, name: str | None, views: Views) -> list[TextTable | str]:
    if name is not None:
        return scope_parts(views[0]) if views else [f"the scope {name!r} is no more"]
    return [scopes_table(views)] if views else [f"there are no scopes in {backend.place!r}"]


def _without_ages(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ages(item) for key, item in value.items() if key != "age"}
    return [_without_ages(item) for item in value] if isinstance(value, list) else value
