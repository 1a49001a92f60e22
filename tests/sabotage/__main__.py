"""Apply each break to a copy of lastout, and expect a test to fail.

python -m sabotage [WORD...]     only the breaks with one of these words
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .sabotages import SABOTAGES, Sabotage

PROJECT = Path(__file__).parents[2]
_CALLS = "9"  # of how many calls the crash tests look at one; a break is seen at many


def applied(sabotage: Sabotage, package: Path) -> None:
    """Break the copy of lastout in `package`."""
    file = package / sabotage.file
    text = file.read_text()
    assert text.count(sabotage.old) == 1, f"{sabotage.breaks}: {sabotage.old!r} is not there once"
    file.write_text(text.replace(sabotage.old, sabotage.new))


def is_seen(sabotage: Sabotage) -> bool:
    """Whether one of its tests fails with it; stops at the first that does."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as directory:
        source = Path(directory, "src")
        shutil.copytree(PROJECT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        applied(sabotage, source / "lastout")
        return any(_fails(tests, source, Path(directory)) for tests in sabotage.seen_by)


def _fails(tests: str, source: Path, directory: Path) -> bool:
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
    """Try all, or those with one of `words`; how many nobody saw."""
    unseen = 0
    for sabotage in SABOTAGES:
        if words and not any(word in sabotage.breaks for word in words):
            continue
        seen = is_seen(sabotage)
        unseen += not seen
        print("seen  " if seen else "UNSEEN", sabotage.breaks, flush=True)
    return unseen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
