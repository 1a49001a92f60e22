"""The tour in docs/explanation/design.md leads past every file, and past no other."""

from __future__ import annotations

import re
from pathlib import Path

import lastout

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "design.md"
FRAME = {"__init__.py", "__main__.py"}  # what every package has
FORMER = {"_process", "_shared"}  # a line for each file that lay there in a former version


def test_what_you_want_to_change_is_there() -> None:
    """The table of those who want to change something names files that exist."""
    table = PAGE.parents[1].joinpath("contributing.md").read_text().partition("you want to change")
    named = re.findall(r"`([\w/]+\.py)`", table[2].partition("\n\n")[0])
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
