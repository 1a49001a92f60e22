"""Tests run against a copy of the project, each time in a forked process of their own.

Forked, because loading pytest takes longer than most mutants live.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import hypothesis.stateful  # noqa: F401  what tests import is loaded once
import psutil
import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

PROJECT = Path(__file__).parents[2]
_MARK = "LASTOUT_MUTANT"
_MEMORY = 4 << 30  # an endless loop may append to a list
_BROKEN = 90
_OPTIONS = (
    *("-x", "-q", "--no-header", "-p", "no:cacheprovider", "--all", "-n0"),
    "--hypothesis-profile=mutation",
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # hypothesis: loaded before, once
)
# The same few examples for each mutant: none is remembered, and none made small.
_PROFILE: dict[str, Any] = {
    "name": "mutation",
    "database": None,
    "deadline": None,
    "derandomize": True,
    "max_examples": 20,
    "phases": (Phase.explicit, Phase.generate),
}


class Limits(NamedTuple):
    """Seconds: of the processor, for an endless loop; and on the clock, for a deadlock."""

    cpu: float
    seconds: float


class Ran(NamedTuple):
    """How a run of tests ended.

    Attributes:
        status: of pytest; negative if a signal ended it.
        took: what it used.
        overran: whether it was out of time.
        printed: what it printed.
    """

    status: int
    took: Limits
    overran: bool
    printed: str

    @property
    def passed(self) -> bool:
        """Whether no test failed."""
        return self.status == pytest.ExitCode.OK


class Copy:
    """A copy of the project, in which a module can be replaced and tests be run."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "lastout"
        self._directory = directory
        self._times = count(1_000_000_000)
        ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
        for name in ("src", "tests", "docs", "examples", "benchmarks"):
            if (PROJECT / name).exists():
                shutil.copytree(PROJECT / name, self.root / name, ignore=ignore)
        for name in ("pyproject.toml", "README.md", "noxfile.py"):
            shutil.copy(PROJECT / name, self.root)

    def write(self, file: str, source: str) -> None:
        """Replace a module."""
        path = self.root / "src" / "lastout" / file
        path.write_text(source)
        # Compiled files are told from stale ones by size and second.
        os.utime(path, (next(self._times),) * 2)

    def run(self, tests: Sequence[str], limits: Limits) -> Ran:
        """Run these tests, up to the first that fails."""
        # Short, because the path of a socket has to be.
        with tempfile.TemporaryDirectory(prefix="", dir=self._directory) as place:
            began = monotonic()
            gc.freeze()  # what is loaded here need not be looked through in each child
            pid = os.fork()
            if not pid:
                self._become_pytest(tests, Path(place), int(limits.cpu))
            ended = os.pidfd_open(pid)
            overran = not select.select([ended], [], [], limits.seconds)[0]
            os.close(ended)
            if overran:
                os.kill(pid, signal.SIGKILL)
            _, code, used = os.wait4(pid, 0)
            took = Limits(used.ru_utime + used.ru_stime, monotonic() - began)
            _kill_what_is_left(place)
            status = os.waitstatus_to_exitcode(code)
            printed = Path(place, "printed").read_text(errors="replace")
            return Ran(status, took, overran or status == -signal.SIGXCPU, printed)

    def _become_pytest(self, tests: Sequence[str], place: Path, cpu: int) -> NoReturn:
        status = _BROKEN
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            printed = os.open(place / "printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for standard, mine in enumerate((os.open(os.devnull, os.O_RDONLY), printed, printed)):
                os.dup2(mine, standard)
            source = str(self.root / "src")
            sys.path[:] = [source, *(p for p in sys.path if p and not _is_in_project(p))]
            os.chdir(self.root)
            os.environ.update({_MARK: str(place), "PYTHONPATH": source, "TMPDIR": str(place)})
            # Compiling all of lastout and of the tests takes longer than running most of them.
            sys.dont_write_bytecode = False
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            tempfile.tempdir = None  # found anew
            settings.register_profile(**_PROFILE)
            _look_for_shared_memory_in(place)
            status = pytest.main([*_OPTIONS, f"--basetemp={place / 't'}", *tests])
            package = sys.modules["lastout"].__path__[0]
            assert package.startswith(source), f"{package} was tested"
        except BaseException:
            traceback.print_exc()
            status = status or _BROKEN
        finally:
            os._exit(status)


def _is_in_project(path: str) -> bool:
    """Whether it is a path of ours; nox puts its environments into the project too."""
    found = Path(path)
    return found.is_relative_to(PROJECT) and not found.is_relative_to(sys.prefix)


def _look_for_shared_memory_in(place: Path) -> None:
    """What others of this machine leave in /dev/shm must not count as a mutant seen."""
    sys.path.append("tests")
    from support import leaks

    leaks.SHARED_MEMORY = place / "shm"
    leaks.SHARED_MEMORY.mkdir()


def _kill_what_is_left(mark: str) -> None:
    """End what the tests have started and, broken as lastout was, could not end."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                process.kill()
