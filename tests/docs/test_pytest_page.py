"""The table of docs/explanation/pytest.md: each row names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "pytest.md"
PROOFS = re.findall(
    r"^\| .* \| `((?:stress/)?test_\w+\.py)::(test_\w+)` \|$", PAGE.read_text(), re.MULTILINE
)
ROWS = PAGE.read_text().partition("| proof |\n|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
STORM = PAGE.read_text().partition("```console\n$ ")[2].partition("```")[0].splitlines()


def test_every_row_has_a_proof() -> None:
    """The table is found, and each of its rows ends with a test."""
    assert len(PROOFS) == len(ROWS) > 20


@pytest.mark.parametrize(("name", "test"), PROOFS)
def test_the_proof_is_there(name: str, test: str) -> None:
    """A test that the page names exists, in the file that it names."""
    file = TESTS / ("" if "/" in name else "pytest_plugin") / name
    found = {
        node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert test in found


def test_the_storm_is_there() -> None:
    """The recorded storm is one of 20 runs by a program that there is, and found nothing."""
    command, _, *runs, last = STORM
    program, *options = command.split()[1:]
    assert (TESTS.parent / program).is_file()
    assert options[:3] == ["--runs", "20", "--seed"]
    first = int(options[3])
    assert [int(run.split()[1]) for run in runs] == list(range(first, first + 20))
    assert all(run.split()[3:] == ["1", "1", "1", "nothing"] for run in runs)
    assert last == "20 of 20 runs as they should be"
