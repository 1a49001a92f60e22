"""The breaks still break something; `nox -s sabotage` shows that each is seen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lastout

from .sabotages import SABOTAGES, Sabotage

PACKAGE = Path(lastout.__path__[0])
TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda one: one.breaks)
def test_each_break_applies(sabotage: Sabotage) -> None:
    """What it replaces stands there exactly once, and Python can read what comes of it."""
    text = (PACKAGE / sabotage.file).read_text()
    assert text.count(sabotage.old) == 1
    ast.parse(text.replace(sabotage.old, sabotage.new))


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda one: one.breaks)
def test_its_tests_are_there(sabotage: Sabotage) -> None:
    """The tests that are to see it have not been moved."""
    for tests in sabotage.seen_by:
        assert (TESTS / tests.partition("::")[0]).is_file()


def test_every_promise_is_broken() -> None:
    """There is a break for each of the invariants I1 to I7."""
    assert {one.breaks[:2] for one in SABOTAGES} == {f"I{number}" for number in range(1, 8)}
