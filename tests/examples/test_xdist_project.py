"""The project of tests that share a database server, with killed workers and without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

PROJECT = Path(__file__).parents[2] / "examples" / "xdist_project"
RUN = """
    import runpy, sys

    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_it_runs_without_xdist(program: Callable[..., Program]) -> None:
    """The project's tests pass without pytest-xdist too."""
    project = str(PROJECT)
    options = ["-p", "lastout.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:xdist"]
    args = ["-q", *options, "--rootdir", project, "-c", f"{project}/pytest.ini", project]
    ended = program("import sys, pytest; sys.exit(pytest.main())", args=args).end()
    assert ended.status == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1].startswith("31 passed")


@pytest.mark.thorough
def test_two_runs_with_killed_workers(program: Callable[..., Program]) -> None:
    """Workers are killed, and yet: one server for all tests, torn down once, nothing left."""
    args = [str(PROJECT / "kill_workers.py"), "--runs", "2", "--seed", "1"]
    ended = program(RUN, args=args).end(120)
    assert ended.status == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1] == "2 of 2 runs as they should be"
