"""Where it prints to: full, closed, or a pipe that nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout

from .conftest import LASTOUT

if TYPE_CHECKING:
    from .test_list_show import Run

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
FULL = "cannot write to standard output: No space left on device"
PRINTING = [
    ["show", "s"],
    ["list"],
    ["list", "--json"],
    ["reap", "--dry-run", "--json"],
    ["--version"],
    ["completion", "bash"],
    ["watch"],
]


def ended(
    arguments: list[str], unbuffered: str = "", **full: bool
) -> subprocess.CompletedProcess[str]:
    """The command, with `stdout` or `stderr`, or both, full; the rest is kept."""
    with open("/dev/full", "w") as device:
        pipes = {
            name: device if full.get(name) else subprocess.PIPE for name in ("stdout", "stderr")
        }
        return subprocess.run(
            [*LASTOUT, *arguments],
            **pipes,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            text=True,
            timeout=60,
            check=False,
        )


@pytest.mark.thorough(one_in=4)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_one(arguments: list[str], unbuffered: str) -> None:
    """What cannot be printed is status 2, and one line says why; 1 is for what `reap` left."""
    with lastout.Scope("s"):
        shown = ended(arguments, unbuffered, stdout=True)
    assert shown.returncode == 2, shown.stderr
    assert [line[: len(FULL) + 9] for line in shown.stderr.splitlines()] == [f"lastout: {FULL}"]


def test_help_for_a_full_one() -> None:
    """Help that cannot be printed is status 2 as well."""
    shown = ended(["show", "--help"], stdout=True)
    assert (shown.returncode, FULL in shown.stderr) == (2, True)


def test_much_for_a_full_one() -> None:
    """It is the same where it is more than is kept before it is printed."""
    with lastout.Scope("s") as scope:
        for _ in range(500):
            scope.file()
        shown = ended(["show", "s", "--json"], stdout=True)
    assert (shown.returncode, len(shown.stderr.splitlines())) == (2, 1), shown.stderr


@pytest.mark.thorough(one_in=3)
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["list"], 0),
        (["show", "nobody"], 2),
        (["list", "--no-such-option"], 2),
        (["run", "--", "sh", "-c", "exit 3"], 3),
        (["run", "--", "no-such-program"], 127),
    ],
    ids=str,
)
def test_a_full_standard_error(arguments: list[str], status: int) -> None:
    """What cannot be said is said to nobody, and the status is what it would be."""
    assert ended(arguments, stderr=True).returncode == status
    assert ended(arguments, stdout=True, stderr=True).returncode == status


def test_all_is_full() -> None:
    """With nowhere to say so it is status 2 all the same."""
    assert ended(["list", "--json"], stdout=True, stderr=True).returncode == 2


def test_no_standard_error(run: Run) -> None:
    """Where it is closed, what belongs there does not come out of standard output."""
    closing = f"exec {sys.executable} -m lastout show nobody 2>&-"
    shown = subprocess.run(
        ["sh", "-c", closing], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert (shown.returncode, shown.stdout) == (2, "")
    assert run("show", "nobody").err != ""
