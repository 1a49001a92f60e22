"""The tour in docs/explanation/design.md leads past every file, and past no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lastout

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "design.md"
FRAME = {"__init__.py", "__main__.py"}  # what every package has
# What a newcomer asks (issue 18), by the words that the question has in the table.
QUESTIONS = (
    "to add a kind",
    "counts as dead",
    "guardian waits for",
    "order in which",
    "`lastout show` prints",
    "acts on a signal",
    "start method",
)
FORMER = {"_process", "_shared"}  # a line for each file that lay there in a former version


def changes() -> list[str]:
    """The rows of the table of those who want to change something."""
    table = PAGE.parents[1].joinpath("contributing.md").read_text().partition("you want to change")
    return table[2].partition("\n\n")[0].splitlines()[2:]


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_you_want_to_change_is_asked_once(question: str) -> None:
    """Each of the seven changes that a newcomer may want has one row, which names a file."""
    [row] = [row for row in changes() if question in row.split("|")[1]]
    assert re.search(r"`[\w/]+\.py`", row.split("|")[2])


def test_what_you_want_to_change_is_there() -> None:
    """The table of those who want to change something names files that exist."""
    named = re.findall(r"`([\w/]+\.py)`", "\n".join(changes()))
    assert len(named) >= 7
    assert [one for one in named if not Path(lastout.__path__[0], one).is_file()] == []


def test_the_tour_names_every_file() -> None:
    """Each file of the package stands on the page, and each file on the page exists."""
    package = Path(lastout.__path__[0])
    paths = [path for path in package.rglob("*.py") if path.parent.name not in FORMER]
    files = {path.name for path in paths} - FRAME
    named = set(re.findall(r"`(\w+\.py)`", PAGE.read_text()))
    assert sorted(files - named) == [], "say in the tour what it is for"
    assert sorted(named - files) == []
