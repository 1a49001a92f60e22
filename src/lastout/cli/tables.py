"""Tables: with rich on a terminal, as plain aligned text everywhere else.

Only commands of processes are ever cut off.  If a terminal is too narrow for a table, the
spare columns are left out first; if that is not enough, each row becomes a block of lines.

Tested by: tests/cli/test_tables.py, tests/cli/test_narrow.py
"""

from __future__ import annotations

import os
from io import TextIOWrapper

from .._platform import interpreter_has
from .output import printing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Final, TextIO

    from rich.console import Console, ConsoleOptions

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_GAP: Final = 2  # between two columns
_LEAST: Final = 24  # the least width of a long column, because paths in a narrower one break often
_BEGIN: Final = 48  # letters of a long command line that are shown: its begin, and its end
_END: Final = 20


class TableColumn:
    """A column of a table.

    Args:
        title: the heading of the column.
        right: whether it is aligned to the right, as numbers are.
        long: whether its cells may be broken if there is little room.
        spare: the order in which columns are left out if there is little room, the lowest
            first; 0 is never.
    """

    __slots__ = ("long", "right", "spare", "title")

    def __init__(self, title: str, right: bool = False, long: bool = False, spare: int = 0) -> None:
        self.title = title
        self.right = right
        self.long = long
        self.spare = spare


class TextTable:
    """Rows below titles.

    Args:
        columns: the columns.
        rows: the cells, as text.
        heading: a line above it.
    """

    def __init__(
        self, columns: Sequence[TableColumn], rows: Iterable[Sequence[str]], heading: str = ""
    ) -> None:
        self.columns = columns
        self.rows = [[escape_unprintable(cell) for cell in row] for row in rows]
        self.heading = escape_unprintable(heading)

    def plain(self) -> str:
        """As text: two spaces between columns, nothing cut off."""
        lines = [[column.title for column in self.columns], *self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        texts = [self._line(cells, widths) for cells in lines]
        return "\n".join([*([self.heading] if self.heading else []), *texts])

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(self.columns, cells, widths, strict=True)
        )
        return "  ".join(padded).rstrip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        """As rich has it, as wide as there is room."""
        from rich.text import Text

        if self.heading:
            yield Text(self.heading, style="bold")
        places = self._that_fit(options.max_width)
        if places:
            yield self._rich_table(places)
        else:
            yield from self._blocks()

    def _that_fit(self, room: int) -> list[int]:
        """The columns for which there is room, by their places; none if it cannot be a table."""
        from rich.cells import cell_len

        titles = [column.title for column in self.columns]
        widths = [max(map(cell_len, cells)) for cells in zip(titles, *self.rows, strict=True)]
        least = [
            min(width, _LEAST) if column.long else width
            for column, width in zip(self.columns, widths, strict=True)
        ]
        places = list(range(len(least)))
        spare = [place for place in places if self.columns[place].spare]
        spare.sort(key=lambda place: self.columns[place].spare)
        while sum(least[place] + _GAP for place in places) - _GAP > room:
            if not spare:
                return []
            places.remove(spare.pop(0))
        return places

    def _rich_table(self, places: Sequence[int]) -> Any:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for place in places:
            column = self.columns[place]
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=not column.long,
            )
        for row in self.rows:
            cells = [row[place] for place in places]
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
        return table

    def _blocks(self) -> Iterator[Any]:
        """Each row as lines of a title and a cell, which are whole however they are wrapped."""
        from rich.text import Text

        width = max(len(column.title) for column in self.columns)
        for number, row in enumerate(self.rows):
            if number:
                yield Text("")
            for column, cell in zip(self.columns, row, strict=True):
                title = (f"{column.title:<{width}}  ", "bold")
                if cell:
                    yield Text.assemble(title, (cell, _STYLES.get(cell, "")), overflow="fold")


_STYLES = {
    "alive": "green",
    "in use": "green",
    "dead": "red",
    "abandoned": "red",
    "unreadable": "red",
    "failed": "red",
    "timed out": "red",
    "now": "yellow",
}


def print_tables(parts: Sequence[TextTable | str]) -> None:
    """Print tables and lines, with an empty line between any two."""
    with printing() as out:
        if isinstance(out, TextIOWrapper):
            out.reconfigure(errors="backslashreplace")  # for characters that its encoding lacks
        if is_rich(out):
            from rich.console import Console

            Console(file=out, highlight=False).print(as_rich(parts))
            return
        texts = [
            part.plain() if isinstance(part, TextTable) else escape_unprintable(part)
            for part in parts
        ]
        print("\n\n".join(texts), file=out)


def as_rich(parts: Sequence[TextTable | str]) -> Any:
    """Tables and lines as one thing for rich to print."""
    from rich.console import Group
    from rich.text import Text

    found: list[Any] = []
    for part in parts:
        found += [Text("")] if found else []
        found.append(part if isinstance(part, TextTable) else Text(escape_unprintable(part)))
    return Group(*found)


def is_rich(stream: TextIO | None) -> bool:
    """Whether rich is to print there: a terminal that can do more than lines, and rich is here."""
    able = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    return able and interpreter_has("rich")


def escape_unprintable(text: str) -> str:
    """The same, but nothing in it can move a cursor or break a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shorten_command(words: Sequence[str]) -> str:
    """The command of a process in one line; of a long command the begin and the end."""
    program, *others = words or [""]
    if program.startswith("/") and not any(map(str.isspace, program)):  # else it may be a title
        program = os.path.basename(program)
    text = " ".join(" ".join([program, *others]).split())
    if len(text) <= _BEGIN + _END:
        return text
    return f"{text[:_BEGIN].rstrip()} ... {text[-_END:].lstrip()}"


def format_age(seconds: float | None) -> str:
    """A time in the biggest unit that it fills, such as `12s` or `3h`."""
    if seconds is None:
        return "?"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def format_size(number: int, complete: bool = True) -> str:
    """A number of bytes, such as `1.2 MB`."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    text = f"{value:.1f}" if unit and value < 9.95 else f"{value:.0f}"
    return f"{'' if complete else '> '}{text} {_UNITS[unit]}"
