"""Show: a progress bar on standard error, and the closing table on standard output."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .account import Account, Row
    from .job import Job
    from .worker import Packed

MOST = 10  # how many of the files that could not be read are named
WIDTH = 100  # of what is not a terminal


def console(stderr: bool = False) -> Console:
    """Where to print to; wide enough for the table where nobody looks at it."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = WIDTH
    return made


@contextmanager
def progress(job: Job) -> Iterator[Callable[[Packed], object]]:
    """A bar that goes on by each file's size."""
    columns = (
        TextColumn("packing"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[files]} files"),
    )
    # No thread that draws: a process that is forked now would inherit its locks.
    with Progress(*columns, console=console(stderr=True), auto_refresh=False) as bar:
        shown = bar.add_task("", total=sum(found.size for found in job.files), files=0)
        files = 0

        def step(packed: Packed) -> None:
            nonlocal files
            files += 1
            bar.update(shown, advance=job.files[packed.number].size, files=files)
            if bar.console.is_terminal:
                bar.refresh()

        yield step


def account(account: Account, job: Job, problems: dict[str, str], seconds: float) -> None:
    """The table of the workers, the files that could not be read, and what is left."""
    out = console()
    out.print(_workers(account))
    out.print(_cleaned(account))
    total = account.total
    out.print(
        f"{total['files']} files, {decimal(total['size'])} -> {decimal(total['packed'])}"
        f" in {seconds:.1f} s by {job.package}, {job.start_method}"
        + (f", in {_printable(job.output, out)}" if job.output else "")
    )
    _problems(out, problems)
    if account.broken:
        out.print(f"[red]Not finished:[/] {_printable(account.broken, out)}")
    for what in account.left:
        out.print(f"[red]Left behind:[/] {_printable(what, out)}")
    if not account.left:
        out.print(
            "[green]Nothing is left[/]: no directory, no shared memory, no connection, no process."
        )


def _workers(account: Account) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="What became of each worker", title_justify="left")
    for name in ("worker", "files", "read", "packed"):
        table.add_column(name, justify="right")
    for name in ("counters", "connection", "scratch", "ended by"):
        table.add_column(name)
    for _, row in sorted(account.rows.items()):
        table.add_row(*_cells(row))
    return table


def _cleaned(account: Account) -> Table:
    title = "What was cleaned, in this order"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("", justify="right")
    table.add_column("what", overflow="fold")
    for name in ("of", "by", "while"):
        table.add_column(name)
    for place, one in enumerate(account.cleaned, 1):
        kind, _, location = one.name.partition(" ")
        name = os.path.basename(location)
        owner = account.rows.get(int(name)) if name.isdecimal() else None
        what = f"{kind} {'scratch/' if owner else ''}{name}"
        of = "all" if owner is None else f"{owner.pid}, {owner.ended}"
        by = f"worker {one.by}" if one.by in account.rows else f"parent {one.by}"
        table.add_row(f"{place}.", escape(what), of, by, one.how)
    return table


def _cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.pid),
        str(row.counters["files"]),
        decimal(row.counters["size"]),
        decimal(row.counters["packed"]),
        "flushed" if row.flushed else "[red]lost[/]",
        _connection(row),
        "removed" if row.removed else "[red]left[/]",
        row.ended,
    )


def _connection(row: Row) -> str:
    colours = {"closed": "none", "by the kernel": "yellow"}
    return f"[{colours.get(row.connection, 'red')}]{row.connection}[/]"


def _problems(out: Console, problems: dict[str, str]) -> None:
    if problems:
        out.print(f"[yellow]{len(problems)} could not be read:[/]")
    for path, why in sorted(problems.items())[:MOST]:
        out.print(f"  {_printable(path, out)}: {escape(why)}")
    if len(problems) > MOST:
        out.print(f"  and {len(problems) - MOST} more")


def _printable(text: str, out: Console) -> str:
    """As it is where it can be printed, else with escapes: file names hold anything."""
    try:
        text.encode(out.encoding)
        plain = text.isprintable()
    except UnicodeEncodeError:
        plain = False
    return escape(text if plain else ascii(text)[1:-1])
