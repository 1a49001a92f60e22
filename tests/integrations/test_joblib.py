"""joblib: its folder of memory maps as an artifact of a scope."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from support import eventually

pytest.importorskip("numpy", reason="joblib maps arrays of numpy only")

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

PROGRAM = """
    import os, sys, time
    import joblib, numpy
    import lastout
    from lastout.integrations.pools import worker
    from say import say

    def look(array):
        say("mapped", os.path.exists(array.filename))
        if sys.argv[1] == "killed":
            say("ready", array.filename)
            time.sleep(60)

    if __name__ == "__main__":
        with lastout.Scope() as scope:
            folder = scope.directory()
            workers = joblib.parallel_config(
                "loky", n_jobs=2, initializer=worker(scope), temp_folder=folder
            )
            with workers:
                arrays = [numpy.ones(1000), numpy.zeros(1000)]
                joblib.Parallel(max_nbytes=100)(joblib.delayed(look)(one) for one in arrays)
            joblib.externals.loky.get_reusable_executor(reuse=True).shutdown()
        say(os.path.exists(folder))
"""


def test_the_folder_of_memory_maps(program: Callable[..., Program]) -> None:
    """It lies in the scope's directory, and goes with it; joblib does not mind."""
    child = program(PROGRAM, args=["done"], env={"PYTHONWARNINGS": "error"})
    assert child.end() == (0, "", "")
    assert child.lines == ["mapped True", "mapped True", "False"]


def test_all_are_killed(program: Callable[..., Program]) -> None:
    """Killed with its workers and its tracker, joblib cannot clean up; the next reap does."""
    child = program(PROGRAM, args=["killed"])
    assert eventually(lambda: sum(line.startswith("ready") for line in child.lines) == 2)
    os.killpg(child.pid, signal.SIGKILL)
    child.end()
    for semaphore in Path("/dev/shm").glob(f"sem.loky-{child.pid}-*"):
        semaphore.unlink()  # loky's own, which nobody is left to remove
    [first, _] = [Path(line.split()[1]) for line in child.lines if line.startswith("ready")]
    assert first.exists()
    root = child.directory.parent / "root"
    # The workers are adopted by others, and it takes a moment until those have seen them die.
    assert eventually(lambda: lastout.reap(root).ok and not first.parent.parent.exists())
