"""Apply each break to a copy of lastout, and expect a test to fail that otherwise passes.

python -m sabotage [WORD...]     only the breaks with one of these words
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .sabotages import SABOTAGES, Sabotage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROJECT = Path(__file__).parents[2]
_CALLS = "9"  # of how many calls the crash tests look at one; a break is seen at many


def applied(sabotage: Sabotage, package: Path) -> None:
    """Break the copy of lastout in `package`."""
    file = package / sabotage.file
    text = file.read_text()
    assert text.count(sabotage.old) == 1, f"{sabotage.breaks}: {sabotage.old!r} is not there once"
    file.write_text(text.replace(sabotage.old, sabotage.new))


@contextmanager
def copy() -> Iterator[Path]:
    """A directory with a copy of lastout in it, in `src`."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as directory:
        source = Path(directory, "src")
        shutil.copytree(PROJECT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(directory)


def failing(sabotages: Iterable[Sabotage]) -> set[str]:
    """The tests that fail though nothing is broken: that they fail later would tell nothing."""
    tests = dict.fromkeys(tests for sabotage in sabotages for tests in sabotage.seen_by)
    with copy() as directory:
        return {one for one in tests if fails(one, directory)}


def is_seen(sabotage: Sabotage) -> bool:
    """Whether one of its tests fails with it; stops at the first that does."""
    with copy() as directory:
        applied(sabotage, directory / "src" / "lastout")
        return any(fails(tests, directory) for tests in sabotage.seen_by)


def fails(tests: str, directory: Path) -> bool:
    """Whether one of these tests fails with the copy of lastout in `directory`."""
    source = directory / "src"
    environment = {**os.environ, "PYTHONPATH": str(source), "LASTOUT_CRASH": _CALLS}
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={directory / 'tests'}"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tests],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # 1: tests failed; anything else says that they did not run.
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return ran.returncode == 1


def main(words: list[str]) -> int:
    """Try all, or those with one of `words`; how many nobody saw, or whose tests always fail."""
    chosen = [one for one in SABOTAGES if not words or any(word in one.breaks for word in words)]
    red = failing(chosen)
    for tests in red:
        print("FAILS WITHOUT ANY BREAK", tests, flush=True)
    unseen = len(red)
    for sabotage in chosen:
        seen = is_seen(sabotage)
        unseen += not seen
        print("seen  " if seen else "UNSEEN", sabotage.breaks, flush=True)
    return unseen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
