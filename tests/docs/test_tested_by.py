"""`Tested by:` in each module of the package names the tests that see most of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from mutation.targets import TARGETS

if TYPE_CHECKING:
    from mutation.targets import Target

PACKAGE = Path(lastout.__path__[0])
ROOT = Path(__file__).parents[2]
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
LINE = re.compile(r"^Tested by:((?:,?\s+tests/[\w/]+\.py)+)$", re.MULTILINE)


def named_in(module: str) -> list[str]:
    """The tests that the docstring of a module names, in that order."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / module).read_text())) or ""
    [line] = LINE.findall(docstring) or [""]
    return re.findall(r"tests/[\w/]+\.py", line)


def test_each_module_names_its_tests() -> None:
    """The docstring of each module has a line that names one test file or more."""
    assert [module for module in MODULES if not named_in(module)] == []


def test_the_tests_that_are_named_exist() -> None:
    """Each test file that is named is there, is named once by a module, and has tests."""
    for module in MODULES:
        named = named_in(module)
        assert len(named) == len(set(named)), module
        for one in named:
            assert (ROOT / one).is_file(), f"{module} names {one}"
            assert Path(one).name.startswith("test_"), f"{module} names {one}"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.file)
def test_mutants_are_shown_to_the_same_tests(target: Target) -> None:
    """Of a module that is mutated, the tests that see its mutants first are named first."""
    first = [one for one in target.tests if not one.startswith("-")]
    assert named_in(target.file)[: len(first)] == first


def test_the_page_for_those_who_add_a_test_names_what_is_there() -> None:
    """Each file and folder that `tests/README.md` names is there."""
    named = re.findall(r"`([\w/]+(?:\.py|/))", (ROOT / "tests" / "README.md").read_text())
    assert len(named) >= 20
    assert [
        one for one in named if not (ROOT / "tests" / one).exists() and not (ROOT / one).exists()
    ] == []
