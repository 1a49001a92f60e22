"""The main job of `examples/`, run as a user runs it, or with something in it changed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import lastout

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 60
# All are errors but the one of a pool that forks the next worker on a thread of its own.
WARNINGS = ("-W", "error", "-W", "ignore:This process (pid=:DeprecationWarning")

# What a test changes of the example, in a forked worker too.
CHANGED = """
import os, signal, sys
from types import SimpleNamespace as Module
import compress_tree
import lastout
from treepool import account, files, worker
{change}
sys.exit(compress_tree.main())
"""


class Run(NamedTuple):
    """How a run of the example ended."""

    status: int
    out: str
    err: str

    @property
    def workers(self) -> list[list[str]]:
        """The cells of the closing table."""
        return [line.split() for line in self.out.splitlines() if re.match(r" +\d+ ", line)]

    @property
    def cleaned(self) -> list[list[str]]:
        """The cells of the list of what was cleaned: what, of whom, by whom, while."""
        lines = [line for line in self.out.splitlines() if re.match(r" +\d+\. ", line)]
        return [re.split(r"  +", line.strip())[1:] for line in lines]


class Example:
    """Starts the example in a session of its own, with a temporary directory of its own."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *args: object, change: str | None = None) -> subprocess.Popen[str]:
        """Begin a run; `change` is code that is run before it."""
        program: Sequence[str] = [str(EXAMPLES / "compress_tree.py")]
        if change is not None:
            program = ["-c", CHANGED.format(change=change)]
        source = Path(lastout.__path__[0]).parent
        paths = [str(source), *([str(EXAMPLES)] if change is not None else [])]
        process = subprocess.Popen(
            [sys.executable, *WARNINGS, *program, *map(str, args)],
            env={**os.environ, "TMPDIR": str(self.temporary), "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> Run:
        """Wait for the end of a run."""
        out, err = process.communicate(timeout=SECONDS)
        return Run(process.returncode, out, err)

    def __call__(self, *args: object, change: str | None = None) -> Run:
        return self.end(self.start(*args, change=change))

    def drafts(self) -> list[Path]:
        """What the workers are at now: a draft in the scratch directory of each."""
        return list(self.temporary.glob("compress_tree-*/scratch/*/draft.gz"))

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
