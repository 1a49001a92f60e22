"""The tables of docs/explanation/scope-guarantees.md: each row names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "scope-guarantees.md"
PROOF = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
HEADINGS = re.compile(r"^\| .* \| proof \|$", re.MULTILINE)
ROWS = [
    line
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not HEADINGS.match(line)
]


def names_in(name: str) -> set[str]:
    """The names of the tests in the files of that name, wherever they lie."""
    return {
        node.name
        for path in TESTS.rglob(name)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }


def test_there_are_tables() -> None:
    """The rows are found, in every table of the page."""
    assert len(HEADINGS.findall(PAGE.read_text())) == 10
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_its_proof(row: str) -> None:
    """A row of the guarantees ends with a test, and that one exists."""
    proof = PROOF.search(row.split("|")[-2])
    assert proof, f"no test is named: {row}"
    assert proof[2] in names_in(proof[1]), f"there is no {proof[0]}"
