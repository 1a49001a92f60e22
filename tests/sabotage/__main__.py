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
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from .sabotages import SABOTAGES, Sabotage

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
# Of how many calls the crash tests look at one: most breaks are seen at a glance.
_CALLS = ("61", "9")
_red: set[str] = set()


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


def is_seen(sabotage: Sabotage) -> bool:
    """Whether one of its tests fails with it, and passes without; stops at the first that does."""
    with copy() as directory:
        applied(sabotage, directory / "src" / "lastout")
        return any(
            passes_unbroken(tests, calls, sabotage.steps)
            and fails(tests, calls, sabotage.steps, directory)
            for calls, tests in product(_CALLS, sabotage.seen_by)
        )


@cache
def passes_unbroken(tests: str, calls: str, steps: str) -> bool:
    """Whether they pass with nothing broken: else that they fail would tell nothing."""
    with copy() as directory:
        passes = not fails(tests, calls, steps, directory)
    if not passes:
        _red.add(tests)
        print("FAILS WITHOUT ANY BREAK", tests, flush=True)
    return passes


def fails(tests: str, calls: str, steps: str, directory: Path) -> bool:
    """Whether one of these tests fails with the copy of lastout in `directory`."""
    environment = {**os.environ, "PYTHONPATH": str(directory / "src"), "LASTOUT_CRASH": calls}
    environment["LASTOUT_CRASH_STEPS"] = steps
    options = ["--all", "-n0", "-x", "-q", "-o", "timeout=1200", "-p", "no:cacheprovider"]
    options.append(f"--basetemp={directory / 'tests'}")
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
    """Try all, or those with one of `words`; how many nobody saw, and tests that always fail."""
    unseen = 0
    for sabotage in SABOTAGES:
        if words and not any(word in sabotage.breaks for word in words):
            continue
        seen = is_seen(sabotage)
        unseen += not seen
        print("seen  " if seen else "UNSEEN", sabotage.breaks, flush=True)
    return unseen + len(_red)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
