"""The tables of docs/reference/pools.md: each cell is what a pool was seen to do.

`LASTOUT_WRITE_TABLES=1 python -m pytest tests/integrations/test_pool_tables.py` writes the
page instead of comparing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import lastout
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.mark import ParameterSet

    from support import Program

    Start = Callable[..., Program]
    Cells = dict[tuple[str, str], str]  # heading and column of a table: what was seen

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "pools.md"
PROGRAMS = ROOT / "tests" / "programs"
MODULES = {path.stem: path.read_text() for path in PROGRAMS.glob("pooled*.py")}
WRITE = bool(os.environ.get("LASTOUT_WRITE_TABLES"))

METHODS = {
    "multiprocessing.Pool": ["fork", "forkserver", "spawn"],
    "multiprocess.Pool": ["fork"],
    "billiard.Pool": ["fork"],
    "multiprocessing.Process": ["fork"],
    "multiprocess.Process": ["fork"],
    "concurrent.futures.ProcessPoolExecutor": ["fork", "spawn"],
    "concurrent.futures.InterpreterPoolExecutor": [""],  # from Python 3.14
    "loky.ProcessPoolExecutor": [""],
    "joblib.Parallel": [""],
    "pebble.ProcessPool": ["fork"],
    "distributed.LocalCluster": [""],
    "a DataLoader": ["fork"],
    "pytest-xdist": [""],
}
# Its workers are threads of the program, each with an interpreter of its own.
IN_THREADS = "concurrent.futures.InterpreterPoolExecutor"
NEVER = "cannot happen"
SINCE_3_14 = pytest.mark.skipif(sys.version_info < (3, 14), reason="it is there from Python 3.14")


def case(pool: str, method: str) -> ParameterSet:
    name = f"{pool} {method}".replace(" ", "-").strip("-")
    marks = [SINCE_3_14] if pool == IN_THREADS else []
    return pytest.param(pool, method, id=name, marks=marks)


CASES = [case(pool, method) for pool, methods in METHODS.items() for method in methods]
PROCESSES = [one for one in CASES if one.values[0] != IN_THREADS]
each = pytest.mark.parametrize(("pool", "method"), CASES)
each_of_processes = pytest.mark.parametrize(("pool", "method"), PROCESSES)


MAIN = """
    import sys
    import pooled

    if __name__ == "__main__":
        pooled.main(*sys.argv[1:])
"""


JOBS = {
    "never": "never ends",
    "well": "is run again",
    "ChildProcessError": "`exitcode` -9",
    "Failed": "fails",
}


# The page.


def row_name(pool: str) -> str:
    name = f"`{pool}`" if "." in pool else pool
    return f"{name} (3.14+)" if pool == IN_THREADS else name


def look_up(page: str, heading: str, pool: str, column: str) -> tuple[str, int, int]:
    """The line of a pool in the table below a heading, its number, and which cell it is."""
    lines = page.splitlines()
    start = lines.index(f"## {heading}")
    head = next(n for n in range(start, len(lines)) if lines[n].startswith("| pool |"))
    cell = lines[head].strip("| ").split(" | ").index(column)
    row = next(n for n in range(head, len(lines)) if lines[n].startswith(f"| {row_name(pool)} |"))
    return lines[row], row, cell


def compare(pool: str, seen: Cells) -> None:
    """Each cell of the page says what was seen; or says it from now on."""
    for (heading, column), word in seen.items():
        page = PAGE.read_text()
        line, number, cell = look_up(page, heading, pool, column)
        cells = line.strip("| ").split(" | ")
        if WRITE:
            cells[cell] = word
            lines = page.splitlines()
            lines[number] = f"| {' | '.join(cells)} |"
            PAGE.write_text("\n".join(lines) + "\n")
        else:
            assert cells[cell] == word, f"{heading}, {column}, of {pool}: {word} was seen"


# What was said.


def said(child: Program, word: str) -> list[str]:
    lines = (line.partition(" ") for line in child.lines)
    return [rest for first, _, rest in lines if first == word]


def made_by(child: Program) -> dict[str, list[str]]:
    """The directories that each worker made."""
    made: dict[str, list[str]] = {}
    for line in said(child, "made"):
        pid, path = line.split(" ", 1)
        made.setdefault(pid, []).append(path)
    return made


def finalizers(child: Program, pids: set[str]) -> str:
    """Whether the finalizer ran in these; never twice in any."""
    finished = Counter(said(child, "finished"))
    assert max(finished.values(), default=0) <= 1, child.lines
    ran = pids & set(finished)
    if ran and ran != pids:
        return "run or lost"
    return "run" if ran else "lost"


def standing(child: Program, when: str, pids: set[str]) -> bool:
    """Whether something of these was still there then."""
    found = {line.split(" ")[1] for line in said(child, "standing") if line.startswith(f"{when} ")}
    return bool(pids & found)


def ended(child: Program) -> None:
    end = child.end()
    assert end.status == 0, end.err
    assert not any(line.startswith("outside") for line in said(child, "standing")), child.lines


# The tests.


@pytest.mark.thorough(one_in=4)
@each
def test_a_closed_pool(program: Start, pool: str, method: str) -> None:
    """A pool that is closed does with finalizers and things what the page says."""
    end(program, pool, method, "closed")


@pytest.mark.thorough(one_in=4)
@each_of_processes
def test_a_terminated_pool(program: Start, pool: str, method: str) -> None:
    """A pool that is terminated does with finalizers and things what the page says."""
    end(program, pool, method, "terminated")


def end(program: Start, pool: str, method: str, event: str) -> None:
    child = program(MAIN, args=[pool, event, method], modules=MODULES)
    ended(child)
    assert len(os.listdir(child.directory / "first")) == 2
    workers = set(made_by(child))
    cleaned = "who leaves next" if standing(child, "inside", workers) else "itself"
    seen = {("Finalizers", event): finalizers(child, workers), ("Things", event): cleaned}
    compare(pool, seen)


@pytest.mark.thorough(one_in=4)
@each_of_processes
def test_a_killed_worker(program: Start, pool: str, method: str) -> None:
    """A worker that is killed costs its job, its pool and its things what the page says."""
    child = program(MAIN, args=[pool, "worker killed", method], modules=MODULES)
    ended(child)
    victim = set(said(child, "held"))
    assert finalizers(child, victim) == "lost"
    others = set(os.listdir(child.directory / "first")) - victim
    [job], [later] = said(child, "job"), said(child, "pool")
    # In a broken pool nobody succeeds it, and the others may leave sooner or later.
    succeeded = later == "well" and not standing(child, "later", victim)
    cleaned = "its successor" if succeeded else "who leaves next"
    job = JOBS.get(job, f"`{job}`")
    seen = {
        ("Finalizers", "a worker killed: the others'"): finalizers(child, others),
        ("Things", "a worker killed: its own"): cleaned,
        ("The pool itself", "the killed worker's job"): job,
        ("The pool itself", "the next jobs"): "done" if later == "well" else f"`{later}`",
    }
    compare(pool, seen)


@each
def test_a_killed_parent(program: Start, pool: str, method: str) -> None:
    """Workers whose parent is killed end too, with or without their finalizers, as it says."""
    child = program(MAIN, args=[pool, "parent killed", method], modules=MODULES)
    assert child.end().status == -signal.SIGKILL
    made = made_by(child)
    pids = {int(worker.partition(".")[0]) for worker in made}
    assert eventually(lambda: not any(map(psutil.pid_exists, pids)), 20)
    left = [path for paths in made.values() for path in paths if os.path.exists(path)]
    report = lastout.reap(child.directory.parent / "root")
    assert not any(map(os.path.exists, left)), report
    seen = {
        ("Finalizers", "parent killed"): finalizers(child, set(made)),
        ("Things", "parent killed"): "the next reap" if left else "itself",
    }
    compare(pool, seen)


@SINCE_3_14
def test_interpreters_are_not_terminated_or_killed() -> None:
    """Nobody can terminate the workers of an `InterpreterPoolExecutor`, or kill one alone."""
    from concurrent.futures import InterpreterPoolExecutor

    for ending in ("terminate", "terminate_workers", "kill_workers"):
        assert not hasattr(InterpreterPoolExecutor, ending)
    with InterpreterPoolExecutor(1) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()
    columns = [
        ("Finalizers", "terminated"),
        ("Finalizers", "a worker killed: the others'"),
        ("Things", "terminated"),
        ("Things", "a worker killed: its own"),
        ("The pool itself", "terminated by"),
        ("The pool itself", "the killed worker's job"),
        ("The pool itself", "the next jobs"),
    ]
    compare(IN_THREADS, dict.fromkeys(columns, NEVER))


def test_all_cells_are_tested() -> None:
    """Each row of the page is a pool that is tested, and no cell is left open."""
    page = PAGE.read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "| pool |" not in line]
    assert sorted(row.strip("| ").split(" | ")[0] for row in rows) == sorted(
        row_name(pool) for pool in METHODS for _ in range(3)
    )
    assert "| ? |" not in page
