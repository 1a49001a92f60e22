"""A suite of tests that a test runs by a pytest of its own: `suite(test_it="...").run("-n2")`.

What its tests and fixtures `say` (`from say import say`) is in `lines`, in order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .program import Ended

_MAIN = """
import sys, pytest

if __name__ == "__main__":  # spawned children load this too
    sys.exit(pytest.main())
"""
_OPTIONS = ("-p", "lastout.pytest_plugin", "-p", "no:cacheprovider", "-q")
_ENV = {
    "COLUMNS": "200",
    # Only the plugins that are named: some take longer to load than a suite to run.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": None,
    # Where they are set pytest prints each message whole in its summary too, a second time.
    "CI": None,
    "BUILD_NUMBER": None,
}


class Suite:
    """Modules of tests in a directory, and the runs of them, with pytest-xdist for `-n`.

    Args:
        directory: where; each run gets one of its own in it.
        modules: name to text, `conftest` among them.
    """

    def __init__(self, directory: Path, modules: Mapping[str, str]) -> None:
        self._directory = directory
        self._modules = modules
        self._runs: list[Program] = []

    def start(self, *args: str, **env: str | None) -> Program:
        """Start pytest on it."""
        where = self._directory / f"run{len(self._runs)}"
        xdist = ["-p", "xdist"] if any(option.startswith("-n") for option in args) else []
        options = [*_OPTIONS, *xdist, "--rootdir", str(where), *args]
        wanted = {**_ENV, **env}
        self._runs.append(Program(_MAIN, where, args=options, modules=self._modules, env=wanted))
        return self._runs[-1]

    def run(self, *args: str, **env: str | None) -> Ran:
        """Run pytest on it."""
        program = self.start(*args, **env)
        return Ran(program, program.end())

    def close(self) -> None:
        """End what is left of its runs."""
        for run in self._runs:
            run.close()


class Ran:
    """A run that has ended.

    Attributes:
        status: the exit status of pytest.
        out: what it printed.
        lines: what was said in it.
        counts: how many tests `passed`, `failed`, ... as it says in its last line.
    """

    def __init__(self, program: Program, ended: Ended) -> None:
        self.status = ended.status
        self.out = ended.out + ended.err
        self.lines = program.lines
        last = ended.out.splitlines()[-1] if ended.out.strip() else ""
        self.counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (\w+)", last)}
