"""The picture of a scope in a file: an SVG, or a page with it and a table of all events.

Tested by: tests/cli/test_timeline.py
"""

from __future__ import annotations

import os
from html import escape
from string import Template
from time import monotonic_ns

from ..._platform import interpreter_has
from ..._scopes.records.inspection import journals
from ...errors import SystemRefused, UsageError
from ..tables import escape_unprintable, shorten_command
from .drawing import DARK, PAPER, draw_history, seconds_since_begin
from .history import read_history

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..._scopes.records.inspection import ScopeView
    from ...backends.base import Backend
    from .history import ScopeHistory

_ENDINGS: Final = (".svg", ".html")
_ROWS: Final = 2000  # of the table below the picture


def check_picture(path: str) -> None:
    """Make sure that a picture can be drawn, before anything else is done.

    Raises:
        UsageError: it cannot: a wrong ending, nowhere to write it, or no matplotlib.
    """
    if not path.endswith(_ENDINGS):
        raise UsageError(f"{path!r} must end in .svg or .html: so it is told what to write")
    place = os.path.dirname(path) or "."
    if not os.path.isdir(place):
        raise UsageError(f"cannot write the picture {path!r}: there is no directory {place!r}")
    if os.path.isdir(path):
        raise UsageError(f"cannot write the picture {path!r}: it is a directory")
    if not os.access(path if os.path.exists(path) else place, os.W_OK):
        raise UsageError(f"cannot write the picture {path!r}: you may not write there")
    if not interpreter_has("matplotlib"):
        raise UsageError("a picture needs matplotlib: python -m pip install 'lastout[cli]'")


def write_scope_picture(backend: Backend, view: ScopeView, path: str) -> None:
    """Draw what happened so far in a scope into a file.

    Raises:
        UsageError: no picture can be drawn; see `check_picture`.
        SystemRefused: it cannot be written.
    """
    check_picture(path)
    living = {one.member.token for one in view.members if one.member.alive}
    there = [one for member in view.members for one in member.processes if one.argv]
    names = {one.pid: shorten_command(one.argv) for one in there}
    past = read_history(journals(backend, view.name), monotonic_ns(), living, names=names)
    write_picture(f"scope {view.name}", past, path)


def write_picture(title: str, past: ScopeHistory, path: str) -> None:
    """Draw a history into a file.

    Raises:
        SystemRefused: it cannot be written.
    """
    picture = draw_history(title, past)
    if path.endswith(".html"):
        picture = _page(title, past, picture)
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(picture)
    except OSError as error:
        raise SystemRefused(
            f"cannot write the picture {path!r}: {error.strerror}", number=error.errno, path=path
        ) from error


_PAGE: Final = Template(
    """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; background: $light; }
@media (prefers-color-scheme: dark) { :root { background: $dark; } }
body { margin: 1.5em auto; max-width: 1100px; padding: 0 1em; }
figure { margin: 0; } svg { width: 100%; height: auto; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .1em .8em .1em 0; }
td:first-child, th:first-child { text-align: right; } td { overflow-wrap: anywhere; }
</style>
<figure>
$picture
</figure>
<details><summary>$count things that happened</summary>
<table>
<tr><th>seconds<th>what was done<th>kind<th>what<th>by<th>of</tr>
$rows
</table>
$rest</details>
</html>
"""
)


def _page(title: str, past: ScopeHistory, picture: str) -> str:
    lines = []
    for event in past.events[:_ROWS]:
        by, of = past.lanes[event.lane].label, past.lanes[event.owner].label
        cells = [
            f"{seconds_since_begin(event.ns, past):.6f}",
            event.verb,
            event.kind,
            event.what,
            by,
            of,
        ]
        lines.append(
            "<tr>" + "".join(f"<td>{escape(escape_unprintable(cell))}" for cell in cells) + "</tr>"
        )
    more = len(past.events) - len(lines)
    return _PAGE.substitute(
        title=escape(escape_unprintable(title)),
        light=PAPER,
        dark=DARK[PAPER],
        picture=picture,
        count=len(past.events),
        rows="\n".join(lines),
        rest=f"<p>and {more} more</p>\n" if more else "",
    )
