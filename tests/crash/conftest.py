"""Explorers in processes of their own, with the shim; and at the end how much they explored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout

from .shim import build, compiler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HOW_MANY = os.environ.get("LASTOUT_CRASH", "some")  # "all": `nox -s crash`; see `every`
ONLY = os.environ.get("LASTOUT_CRASH_STEPS", "")  # how the steps begin that are looked at
_EXPLORED = pytest.StashKey[Counter[tuple[str, str, str]]]()
_TESTS = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All points take minutes, and each has a deadline of its own."""
    for item in items:
        if "explore" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(600 if HOW_MANY == "some" else 0))


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim, built."""
    missing = ""
    if sys.platform != "linux":
        missing = "the shim knows the C library of Linux only"
    elif compiler() is None:
        missing = "the shim needs a C compiler (gcc or cc)"
    if missing and HOW_MANY != "some":
        pytest.fail(f"nothing can be explored: {missing}")  # who asks for it must not get green
    if missing:
        pytest.skip(missing)
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shimmed(shim: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python with the shim: arguments, and the name of a tape of its own."""

    def run(*arguments: str, tape: str = "tape") -> subprocess.CompletedProcess[str]:
        where = [str(Path(lastout.__path__[0]).parent), str(_TESTS)]
        environment = {
            **os.environ,
            "LD_PRELOAD": str(shim),
            "SHIM_TAPE": str(tmp_path / tape),
            "PYTHONPATH": os.pathsep.join(where),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",  # dill's, of functions that refer to themselves
        }
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def explore(
    shimmed: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Callable[[str, Sequence[str]], list[str]]:
    """Run an explorer on some steps, as many at once as there are processors; what went wrong."""
    explored = request.config.stash.setdefault(_EXPLORED, Counter())

    def run_one(module: str, number: int, steps: Sequence[str]) -> Iterator[str]:
        place = str(tmp_path / f"explored{number}")
        ended = shimmed("-m", module, place, HOW_MANY, *steps, tape=f"tape{number}")
        if ended.returncode:
            yield f"{module} ended with {ended.returncode}: {ended.stderr}"
        for line in ended.stdout.splitlines():
            told = json.loads(line)
            for what in ("points", "of"):
                explored[module, told["what"], what] += told[what]
            yield from ("\n    ".join(wrong) for wrong in told["wrong"])

    def run(module: str, names: Sequence[str]) -> list[str]:
        steps = [name for name in names if name.startswith(ONLY)]
        if not steps:
            return []
        places = min(os.cpu_count() or 1, len(steps)) if HOW_MANY != "some" else 1
        shares = [steps[number::places] for number in range(places)]
        with ThreadPoolExecutor(places) as pool:
            found = pool.map(lambda task: list(run_one(module, *task)), enumerate(shares))
            return [wrong for share in found for wrong in share]

    return run


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print how many points were explored."""
    explored = config.stash.get(_EXPLORED, Counter())
    if not explored:
        return
    terminalreporter.section("crash points")
    for title, module in TITLES.items():
        harms = dict.fromkeys(what for where, what, _ in explored if where == module)
        rows = {
            f"{title}: {what}": [explored[module, what, number] for number in ("points", "of")]
            for what in harms
        }
        total = [sum(numbers) for numbers in zip(*rows.values(), strict=True)] or [0, 0]
        for what, (points, every) in {**rows, title: total}.items():
            of = f" of about {every:,}" * (every > points)
            terminalreporter.line(f"{points:8,}{of}  {what}")


TITLES = {"one process": "crash.explore", "two processes": "crash.interleave"}
