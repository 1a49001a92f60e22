"""The benchmarks run; what they measure is no business of a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import lastout

ROOT = Path(__file__).parents[2]
LINES = {
    "importing": [
        ("import, over a bare interpreter", "import filelock"),
        ("import, over a bare interpreter", "import multiprocessing.util"),
        ("import, over a bare interpreter", "import weakref"),
        ("start, with lastout imported", "a bare interpreter"),
        ("start, with lastout.Scope loaded", "a bare interpreter"),
    ],
    "registry": [
        ("register", "atexit.register"),
        ("register", "weakref.finalize"),
        ("register", "multiprocessing.util.Finalize"),
        ("register", "ExitStack.callback"),
        ("register + unregister among 10", "atexit"),
        ("register + unregister among 10,000", "atexit"),
        ("register and run, each of 10", "atexit"),
        ("register and run, each of 10,000", "ExitStack"),
    ],
    "forking": [
        ("fork, 100 handlers", "bare os.fork"),
        ("fork, 100 handlers, 10 inheritable", "bare os.fork"),
    ],
    "recording": [
        ("record an artifact", "bare os.write"),
        ("record an artifact", "one SQLite ledger (WAL)"),
        ("record an artifact", "one journal under FileLock"),
        ("record an artifact", "resource_tracker.register"),
        ("record an artifact", "loky's resource_tracker"),
        ("record, 2 processes", "one process"),
        ("record, 16 processes", "one process"),
        ("one SQLite ledger (WAL), 16 processes", "one process"),
        ("one journal under FileLock, 16 processes", "one process"),
        ("record, each of 1,000", "one SQLite ledger (WAL)"),
    ],
    "scopes": [
        ("fork, in one scope", "fork, filelock imported"),
        ("join + leave, alone", "FileLock, one acquire"),
        ("join + leave, beside another member", "FileLock, one acquire"),
        ("alive? each of 1", "psutil, by start time"),
        ("alive? each of 100", "psutil, by start time"),
        ("alive? each of 100", "FileLock, one try"),
        ("join + leave, beside 10 members", "the only member"),
    ],
    "directories": [
        ("make and remove a directory", "mkdtemp + rmtree"),
        ("make and remove a directory", "dask WorkSpace.new_work_dir"),
        ("reap each of 10 directories", "shutil.rmtree"),
        ("reap each of 10 directories", "dask WorkSpace"),
    ],
    "reaping": [
        ("reap 10 files", "os.unlink in a loop"),
        ("reap 1,000 files", "os.unlink in a loop"),
        ("reap 1,000 files", "shutil.rmtree"),
    ],
    "cleanups": [
        ("start a program", "subprocess.Popen"),
        ("a callback of one, by name", "python -c pass"),
        ("a callback of one, pickled", "python -c pass"),
    ],
    "guarding": [
        ("SIGKILL of 4 to 100 files gone", "a new process that reaps"),
        ("start a guardian", "python -I -S -c pass"),
    ],
    "signalling": [
        ("SIGTERM to the first handler, main in C", "signal.signal, main asleep"),
    ],
    "whole": [
        ("a pool with lastout, fork: start", "a pool without"),
        ("a pool in a scope, spawn: whole", "a pool without"),
    ],
    "anatomy": [
        ("of a record: os.write of the line", "a record"),
        ("of reaping a file: reading the journal", "reaping a file"),
    ],
}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks as a user does, from the root of the repository."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(lastout.__path__[0]).parent)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def compares(line: str) -> bool:
    """Whether it has a ratio, or says that there is none: on a busy machine a difference drowns."""
    return bool({"x", "-"} & set(line.split()))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """What a quick look at everything prints, and the file that it writes."""
    file = tmp_path_factory.mktemp("benchmarks") / "results.json"
    ended = run("--quick", "--json", str(file))
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines(), file


@pytest.mark.thorough
def test_a_quick_look_prints_every_line(results: tuple[list[str], Path]) -> None:
    """`--quick` ends well, whatever was measured, and has a line for each comparison."""
    lines, _ = results
    assert [line for line in lines if line in LINES] == list(LINES)
    for what, rival in (comparison for subject in LINES.values() for comparison in subject):
        [line] = [line for line in lines if line.startswith(f"{what}  ") and f" {rival}  " in line]
        assert compares(line)


@pytest.mark.thorough
def test_the_results_are_written_down(results: tuple[list[str], Path]) -> None:
    """`--json` writes the machine, and each line with its medians and how far they lay apart."""
    lines, file = results
    whole = json.loads(file.read_text())
    assert whole["quick"] is True
    assert {"processor", "cores", "kernel", "python", "file system"} <= set(whole["machine"])
    assert list(whole["subjects"]) == list(LINES)
    facts = [line for subject in whole["subjects"].values() for line in subject["lines"]]
    assert len(facts) == sum(map(compares, lines))
    spreads = [fact[side] for fact in facts for side in ("ours", "its") if "low" in fact[side]]
    assert spreads
    assert all(s["low"] <= s["median"] <= s["high"] and s["rounds"] > 0 for s in spreads)


@pytest.mark.thorough
def test_the_results_can_be_drawn(results: tuple[list[str], Path], tmp_path: Path) -> None:
    """`benchmarks.plots` makes drawings of them that show text, and have no background."""
    if find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed: only `nox -s bench` does that")
    command = [sys.executable, "-m", "benchmarks.plots", str(results[1]), str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    drawn = {path.stem: path.read_text() for path in tmp_path.iterdir()}
    assert set(drawn) == {"budgets", "growth", "crowd", "whole"}
    assert "SQLite" in drawn["crowd"]
    assert all("#ffffff" not in text for text in drawn.values())


def test_a_subject_can_be_chosen() -> None:
    """With a name only that subject is measured."""
    ended = run("--quick", "importing")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line for line in ended.stdout.splitlines() if line in LINES] == ["importing"]


def test_an_unknown_subject_is_refused() -> None:
    """A subject that there is not is refused, with those that there are."""
    ended = run("weather")
    assert ended.returncode == 2
    assert "no such subject: weather; there are " in ended.stderr
    assert "registry" in ended.stderr
