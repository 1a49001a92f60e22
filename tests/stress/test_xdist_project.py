"""A storm over the project of tests that share a database server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

STORM = Path(__file__).parents[2] / "examples" / "xdist_project" / "kill_workers.py"
RUN = """
    import runpy, sys

    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.timeout(1200)
def test_twenty_runs_with_killed_workers(
    program: Callable[..., Program], pytestconfig: pytest.Config
) -> None:
    """In 20 runs with workers killed at random: one server, torn down once, nothing left."""
    seed = str(pytestconfig.getoption("seed"))
    ended = program(RUN, args=[str(STORM), "--runs", "20", "--seed", seed]).end(1100)
    print(ended.out)
    assert ended.status == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1] == "20 of 20 runs as they should be"
