"""The benchmarks run; what they measure is no business of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lastout

ROOT = Path(__file__).parents[2]
LINES = {
    "importing": [
        ("import, over a bare interpreter", "import filelock"),
        ("import, over a bare interpreter", "import multiprocessing.util"),
    ],
    "registry": [
        ("register", "atexit.register"),
        ("register", "weakref.finalize"),
        ("register", "multiprocessing.util.Finalize"),
        ("register", "ExitStack.callback"),
        ("register + unregister among 10", "atexit"),
        ("register + unregister among 10,000", "atexit"),
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
        ("record, 16 processes", "one process"),
        ("one SQLite ledger (WAL), 16 processes", "one process"),
        ("one journal under FileLock, 16 processes", "one process"),
    ],
    "scopes": [
        ("fork, in one scope", "fork, filelock imported"),
        ("join + leave, alone", "FileLock, one acquire"),
        ("join + leave, beside another member", "FileLock, one acquire"),
        ("alive? of 100", "psutil, by start time"),
        ("alive? of 100", "FileLock, one try"),
    ],
    "reaping": [
        ("reap 1,000 files", "os.unlink in a loop"),
        ("reap 1,000 files", "shutil.rmtree"),
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


def test_a_quick_look_prints_every_line() -> None:
    """`--quick` ends well, whatever was measured, and has a line for each comparison."""
    ended = run("--quick")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [line for line in lines if line in LINES] == list(LINES)
    for what, rival in (comparison for subject in LINES.values() for comparison in subject):
        [line] = [line for line in lines if line.startswith(f"{what}  ") and f" {rival}  " in line]
        assert " x" in line


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
