"""The table of start methods in docs/explanation/guarantees.md: each cell is tried."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "guarantees.md"
PROGRAMS = Path(__file__).parents[1] / "programs"
COLUMNS = ("fork", "spawn", "forkserver", "forkserver+preload")
CALLS = {
    "`register(f)`": "register",
    "`@handler(inherit=True)`": "inherit",
    "`handle_signals()`": "handle_signals",
    'a scope, `Scope("name")`': "Scope",
}
PLACES = ("module level", "main guard", "initializer")
ROW = re.compile(rf"^\| (.+?), (?:at|under|in) (?:the |an )?({'|'.join(PLACES)}) \| (.+) \|$")
TABLE = {
    (CALLS[found[1]], found[2]): dict(zip(COLUMNS, found[3].split(" | "), strict=True))
    for line in PAGE.read_text().splitlines()
    if (found := ROW.match(line))
}
DEFAULT = re.compile(r"^\| `(\w+)` \| (\w+) \| (\w+) \|$", re.MULTILINE)

SCRIPT = """
    import importlib, sys
    import declares
    from say import say

    if __name__ == "__main__":
        package, method, preload, place, kills = sys.argv[1:]
        context = importlib.import_module(package).get_context(method)
        if preload:
            context.set_forkserver_preload(["declares"])
        if place == "main guard":
            declares.set_up()
        if place == "initializer":
            pool = context.Pool(1, declares.set_up)
            pool.apply_async(declares.work, (bool(kills),))
            [child] = pool._pool
            stop = pool.terminate if kills else lambda: (pool.close(), pool.join())
        else:
            child = context.Process(target=declares.work, args=(bool(kills),))
            child.start()
            stop = child.terminate if kills else child.join
        say("child", child.pid)
        if kills:
            input()
        stop()
        child.join()
        say("status", child.exitcode)
"""


def test_the_table_is_whole() -> None:
    """Each call has a row for each place."""
    assert sorted(TABLE) == sorted((call, place) for call in CALLS.values() for place in PLACES)


@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(("call", "place"), TABLE, ids=":".join)
def test_a_cell_is_true(
    program: Callable[..., Program], package: str, column: str, call: str, place: str
) -> None:
    """What is called there does for the child what the table says, once, and for no other."""
    method, _, preload = column.partition("+")
    kills = "kills" if call == "handle_signals" else ""
    child = program(
        SCRIPT,
        args=[package, method, preload, place, kills],
        modules={"declares": (PROGRAMS / "declares.py").read_text()},
        env={"DECLARES": f"{call}:{place}"},
    )
    if kills:
        assert eventually(lambda: any(line.startswith("working") for line in child.lines), 30)
        child.tell()
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert _said(child.lines) == TABLE[call, place][column]
    assert f"status {-signal.SIGTERM if kills else 0}" in child.lines
    pids = {line.split()[-1] for line in child.lines if line.startswith("ran ")}
    [pid] = (line.split()[1] for line in child.lines if line.startswith("child "))
    # The main program runs its own; a fork server runs none.
    assert pids <= {pid, str(child.pid)}, child.lines
    assert child.lines.count(f"ran {pid}") <= 1, child.lines


def _said(lines: list[str]) -> str:
    """What became of it in the child, in the words of the table."""
    [pid] = (line.split()[1] for line in lines if line.startswith("child "))
    return "yes" if {f"ran {pid}", f"in the scope {pid}"} & {*lines} else "no"


OF_DILL = Path(__file__).parents[2] / "docs" / "how-to" / "child-processes.md"
ROWS_OF_DILL = re.findall(
    r"^\| a (`Process`|job of a `Pool`)(?: that runs|,) (.+?) \| (\w+) \| (\w+) \| (\w+) \|$",
    OF_DILL.read_text(),
    re.MULTILINE,
)
FUNCTIONS = {"a function of a module": "os.getpid", "a lambda": "lambda: 1"}


@pytest.mark.parametrize("method", COLUMNS[:3])
@pytest.mark.parametrize("row", ROWS_OF_DILL, ids=lambda row: " ".join(row[:2]))
def test_what_multiprocess_can_start(
    program: Callable[..., Program], row: tuple[str, ...], method: str
) -> None:
    """On 3.15 `multiprocess` starts just what the table says, before that all of it."""
    how, what, *cells = row
    child = program(
        f"""
        import os, sys
        import multiprocess
        from say import say

        def of_main():
            pass

        if __name__ == "__main__":
            function = {FUNCTIONS.get(what, "of_main")}
            context = multiprocess.get_context(sys.argv[1])
            try:
                if {how == "`Process`"}:
                    process = context.Process(target=function)
                    process.start()
                    process.join()
                    say("yes" if process.exitcode == 0 else "failed")
                else:
                    with context.Pool(1) as pool:
                        pool.apply(function)
                        pool.close()
                        pool.join()
                        say("yes")
            except AttributeError as error:
                assert error.name == "co_lnotab"
                say("no")
        """,
        args=[method],
    )
    child.end()
    expected = cells[COLUMNS.index(method)] if sys.version_info >= (3, 15) else "yes"
    assert child.lines == [expected]


def test_all_of_what_multiprocess_can_start_is_tried() -> None:
    """The table of what it can start is found whole."""
    assert len(ROWS_OF_DILL) == 6


def test_the_default_start_methods(program: Callable[..., Program]) -> None:
    """Each package starts children as the table says, where nobody chooses."""
    child = program(
        """
        import multiprocess, multiprocessing
        from say import say

        for package in multiprocess, multiprocessing:
            say(package.__name__, package.get_start_method())
        """
    )
    assert child.end() == (0, "", "")
    newer = sys.version_info >= (3, 14)
    table = [f"{row[1]} {row[3 if newer else 2]}" for row in DEFAULT.finditer(PAGE.read_text())]
    assert sorted(child.lines) == sorted(table)
