"""The explained survivors still name what stands there; `nox -s mutation` shows the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

import lastout

from .explained import explained
from .targets import TARGETS, Target

PACKAGE = Path(lastout.__path__[0])
TESTS = Path(__file__).parents[1]
SURVIVORS = [(file, old, new) for file, known in explained().items() for old, new in sorted(known)]


def _lines_of(file: str) -> str:
    return "\n".join(line.strip() for line in (PACKAGE / file).read_text().splitlines())


@pytest.mark.parametrize(("file", "old", "new"), SURVIVORS)
def test_what_is_explained_stands_there(file: str, old: str, new: str) -> None:
    """The line that a survivor replaces is one of its module, and is not what replaces it."""
    assert f"\n{old}\n" in _lines_of(file)
    assert new != old


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_its_tests_are_there(target: Target) -> None:
    """The tests that are to see the mutants have not been moved."""
    for tests in (*target.tests, *target.more):
        file, _, name = tests.removeprefix("--deselect=").removeprefix("tests/").partition("::")
        assert f"def {name}" in (TESTS / file).read_text()


def test_each_mutated_module_has_a_section() -> None:
    """The page tells of every module that is mutated, and of no other."""
    assert set(explained()) == {target.file for target in TARGETS}
