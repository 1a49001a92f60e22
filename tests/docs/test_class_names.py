"""The names of classes: two words, or one that the field or the glossary has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import lastout

PACKAGE = Path(lastout.__path__[0])
GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"

# Words that say it all where they stand: public names, and those of the design.
ONE_WORD = {
    "Backend",
    "Failure",
    "Identity",
    "Lock",
    "Membership",
    "Outcome",
    "Recipe",
    "Semaphore",
    "Size",
    "Trackable",
    "Worker",  # which pickles of former versions name
}
# To be renamed: this list only ever gets shorter.
TO_BE_RENAMED = {
    "Keeper",
    "Process",
    "Reaped",
    "Running",
    "_Joining",
    "_Step",
    "_Walk",
}


def words_in(name: str) -> list[str]:
    """The words of a class name: `AuditLog` has two, and so has `IOError`."""
    return re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z0-9]*|[A-Z]+", name)


def class_names() -> list[str]:
    """The name of each class in the package, as often as it is there."""
    return [
        node.name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]


def glossary() -> set[str]:
    """The terms of the glossary that are one word, as a class would have them."""
    text = GLOSSARY.read_text().partition("{glossary}")[2]
    return {term.capitalize() for term in re.findall(r"^([a-z]+)$", text, re.MULTILINE)}


def test_a_class_has_two_words() -> None:
    """A class has two words in its name, or is called by a word of the glossary or of a list."""
    known = glossary() | ONE_WORD | TO_BE_RENAMED
    found = {name for name in class_names() if len(words_in(name)) < 2} - known
    assert sorted(found) == [], "give it a second word, which says what of"


def test_the_list_of_exceptions_shrinks() -> None:
    """What is still to be renamed exists: a name that is gone is struck off the list."""
    assert sorted(TO_BE_RENAMED - set(class_names())) == []


def test_few_classes_have_one_word() -> None:
    """Fewer than a fifth of all classes have a name of one word."""
    names = class_names()
    assert sum(len(words_in(name)) < 2 for name in names) < len(names) / 5
