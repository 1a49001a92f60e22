"""`import lastout as atexit`: CPython's own tests of atexit, from the running interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import cpython

PLACE = cpython.folder()
TESTS = (
    [(file, name) for file in cpython.FILES for name in cpython.tests_in(PLACE / file)]
    if PLACE
    else []
)

pytestmark = pytest.mark.skipif(
    PLACE is None, reason="this interpreter was shipped without its `test` package"
)


def test_there_are_tests_to_run() -> None:
    """The interpreter's own files were read and hold the tests that are known to be there."""
    names = {name for _, name in TESTS}
    assert {"GeneralTest.test_order", "FunctionalTest.test_atexit_instances"} <= names
    assert len(TESTS) >= 15


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[f"{f}::{n}" for f, n in TESTS])
def test_cpython(file: str, name: str) -> None:
    """A test that CPython wrote for its atexit passes with lastout in its place."""
    run = subprocess.run(
        [sys.executable, str(Path(cpython.__file__)), file, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    if run.returncode == cpython.SKIPPED:
        pytest.skip(f"CPython skips it here: {run.stdout.splitlines()[0]}")
    assert run.returncode == 0, run.stdout
