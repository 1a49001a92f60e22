"""The table of docs/explanation/pytest.md: each row names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "pytest.md"
PROOFS = re.findall(r"^\| .* \| `(test_\w+\.py)::(test_\w+)` \|$", PAGE.read_text(), re.MULTILINE)
ROWS = PAGE.read_text().partition("| proof |\n|---|---|---|\n")[2].splitlines()


def test_every_row_has_a_proof() -> None:
    """The table is found, and each of its rows ends with a test."""
    assert len(PROOFS) == len(ROWS) > 20


@pytest.mark.parametrize(("name", "test"), PROOFS)
def test_the_proof_is_there(name: str, test: str) -> None:
    """A test that the page names exists."""
    found = {
        node.name
        for path in TESTS.rglob(name)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert test in found
