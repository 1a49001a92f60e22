"""Layout: the names on disk and in the environment stand in one place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import lastout
from lastout import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(lastout.__path__[0])
FILE = PACKAGE / "layout.py"
NAMES = {value: name for name, value in vars(layout).items() if name.isupper() and value}
# The name of the package is in many places, and is most often meant as that.
NAMED_ELSEWHERE = {layout.USUAL_ROOT}

# What the first release had: other versions meet there, and journals outlive upgrades.
FIRST = {
    "USUAL_ROOT": "lastout",
    "GARBAGE": "garbage-",
    "TRUSTED": ".trusted",
    "PYTEST_RUN": "pytest-",
    "SCOPE_LOCK": "scope.lock",
    "CLEANER_LOCK": "cleaner.lock",
    "ORPHANS_LOCK": "orphans.lock",
    "GUARDIAN_LOCK": "guardian.lock",
    "JOURNAL": ".journal",
    "UNPUBLISHED": ".new",
    "HELPER": "-helper",
    "ROOT_VARIABLE": "LASTOUT_ROOT",
    "SCOPE_VARIABLE": "LASTOUT_SCOPE",
    "ARTIFACT_VARIABLE": "LASTOUT_ARTIFACT",
    "LEAKS_VARIABLE": "LASTOUT_PYTEST_LEAKS",
    "GUARDIAN": "lastout-guardian",
    "KEEPER": "lastout-keeper",
    "UNWINDING": "lastout-unwinds",
}


def texts(source: Path) -> Iterator[str]:
    """Each text that stands in a module, in f-strings too, but for its docstrings."""
    tree = ast.parse(source.read_text())
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")


def test_a_name_stays() -> None:
    """Each name is what it was in the first release, so that two versions find each other."""
    assert {name: value for value, name in NAMES.items()} == FIRST


def test_it_is_nothing_but_constants() -> None:
    """The module names texts and does nothing else, so that whatever needs a name can load it."""
    rest = [
        ast.unparse(node)
        for node in ast.parse(FILE.read_text()).body[1:]  # behind its docstring
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant))
    ]
    assert rest == [
        "from __future__ import annotations",
        "TYPE_CHECKING = False",
        "if TYPE_CHECKING:\n    from typing import Final",
    ]


def test_no_other_module_writes_one_out() -> None:
    """No other module has one of these names as a text of its own."""
    names = NAMES.keys() - NAMED_ELSEWHERE
    found = [
        (source.stem, text)
        for source in sorted(set(PACKAGE.rglob("*.py")) - {FILE})
        for text in texts(source)
        if text in names
    ]
    assert found == []
