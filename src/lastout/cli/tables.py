"""Tables: with rich on a terminal, as plain aligned text everywhere else."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from .._platform import interpreter_has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TextIO

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class Column:
    """A column of a table.

    Args:
        title: what stands above it.
        right: whether it is aligned to the right, as numbers are.
        long: whether it may be broken where there is little room.
    """

    __slots__ = ("long", "right", "title")

    def __init__(self, title: str, right: bool = False, long: bool = False) -> None:
        self.title = title
        self.right = right
        self.long = long


class Table:
    """Rows below titles.

    Args:
        columns: what stands in each row.
        rows: the cells, as text.
        heading: a line above it.
    """

    def __init__(
        self, columns: Sequence[Column], rows: Iterable[Sequence[str]], heading: str = ""
    ) -> None:
        self.columns = columns
        self.rows = [[shown(cell) for cell in row] for row in rows]
        self.heading = shown(heading)

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

    def rich(self) -> Any:
        """As rich has it."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, pad_edge=False, header_style="bold")
        if self.heading:
            table.title, table.title_justify = Text(self.heading, style="bold"), "left"
        for column in self.columns:
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=not column.long,
            )
        for row in self.rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        return table


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


def put(parts: Sequence[Table | str], stream: TextIO | None = None) -> None:
    """Print tables and lines, with an empty line between any two."""
    stream = sys.stdout if stream is None else stream
    if stream is None:  # closed before we were started
        return
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a letter that its encoding lacks
    if is_rich(stream):
        from rich.console import Console

        Console(file=stream, highlight=False).print(rich(parts))
        return
    texts = [part.plain() if isinstance(part, Table) else shown(part) for part in parts]
    print("\n\n".join(texts), file=stream)


def rich(parts: Sequence[Table | str]) -> Any:
    """Tables and lines as one thing for rich to print."""
    from rich.console import Group
    from rich.text import Text

    found: list[Any] = []
    for part in parts:
        found += [Text("")] if found else []
        found.append(part.rich() if isinstance(part, Table) else Text(shown(part)))
    return Group(*found)


def is_rich(stream: TextIO | None) -> bool:
    """Whether rich is to print there: a terminal that can do more than lines, and rich is here."""
    able = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    return able and interpreter_has("rich")


def shown(text: str) -> str:
    """The same, but nothing in it can move a cursor or break a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def age(seconds: float | None) -> str:
    """A time in the biggest unit that it fills, such as `12s` or `3h`."""
    if seconds is None:
        return "?"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def size(number: int, complete: bool = True) -> str:
    """A number of bytes, such as `1.2 MB`."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    text = f"{value:.1f}" if unit and value < 9.95 else f"{value:.0f}"
    return f"{'' if complete else '> '}{text} {_UNITS[unit]}"
