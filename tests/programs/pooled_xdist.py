"""A run of pytest-xdist as a pool of two workers, for `pooled.py`.

This one file is the pool, the plugin that begins its workers, and the tests that they run:
each takes the next order that the pool has written into a folder, and does it.

    orders/NUMBER   what to do            done/NUMBER    it was done
    failed/...      a test that failed    stop           there will be no more
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

import lastout
from lastout.integrations import pools

SECONDS = 40.0
STEP = 0.005


class Failed(Exception):
    """A test failed: the one whose worker was killed."""


# The pool, in the program.


class Xdist:
    """`pytest -n 2`, in a program of its own; see `pooled_kinds.py`."""

    forgets_jobs = False

    def __init__(self):
        for name in ("orders", "done", "failed"):
            os.mkdir(name)
        self._numbers = count()
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "pooled_xdist", __file__]
        with open("pytest.out", "wb") as out:
            # A group of its own: Ctrl-C is for all of it, and not for this program.
            self._controller = subprocess.Popen(
                command, stdout=out, stderr=out, start_new_session=True
            )

    def run(self, func, count, meeting):
        jobs = [str(next(self._numbers)) for _ in range(count)]
        for job in jobs:
            Path(job).write_bytes(pickle.dumps((func, meeting)))
            os.rename(job, f"orders/{job}")
        return jobs

    def wait(self, jobs, seconds):
        end = time.monotonic() + seconds
        while not all(os.path.exists(f"done/{job}") for job in jobs):
            if os.listdir("failed"):
                os.rename("failed", "failed before")
                os.mkdir("failed")
                raise Failed
            assert time.monotonic() < end, Path("pytest.out").read_text()
            time.sleep(STEP)

    def close(self):
        Path("stop").touch()
        self._controller.wait(SECONDS)

    def terminate(self, _):
        os.killpg(self._controller.pid, signal.SIGINT)
        self._controller.wait(SECONDS)

    def kill_parent(self):
        self._controller.kill()
        self._controller.wait(SECONDS)


# The plugin, in the controller and in each worker.


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        from pooled import finish

        pools.worker(lastout.Scope("pooled"), finalizer=finish)()


def pytest_runtest_logreport(report):
    if report.failed and not os.environ.get("PYTEST_XDIST_WORKER"):
        Path("failed", "one").touch()


# The tests, in each worker.


@pytest.mark.parametrize("_", range(20))
def test_an_order(_):
    """Take the next order, and do it."""
    while not os.path.exists("stop"):
        for job in sorted(os.listdir("orders")):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"orders/{job}", f"taken by {os.getpid()}")
                func, meeting = pickle.loads(Path(f"taken by {os.getpid()}").read_bytes())
                func(meeting)
                Path("done", job).touch()
                return
        time.sleep(STEP)
