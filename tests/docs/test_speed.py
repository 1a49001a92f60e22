"""The page of speed shows a whole run, and says why each budget that it missed was missed."""

from __future__ import annotations

import json
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "speed.md"
RESULTS = json.loads((PAGE.parent / "speed" / "results.json").read_text())
LINES = [line for subject in RESULTS["subjects"].values() for line in subject["lines"]]


def test_the_figures_are_of_a_whole_run() -> None:
    """A quick look is not what is published."""
    assert RESULTS["quick"] is False
    assert "by a quick look" not in (PAGE.parent / "speed" / "tables.md").read_text()


def test_each_missed_budget_has_its_reason() -> None:
    """What stands as missed in the tables is named, in bold, where the reasons are."""
    reasons = PAGE.read_text().partition("## Missed, and why")[2].partition("\n## ")[0]
    missed = {
        line["what"] if line["size"] is None else line["what"].replace("{}", f"{line['size']:,}")
        for line in LINES
        if line.get("used", 0) > 1
    }
    named = {text for text in missed if f"`{text}`" in " ".join(reasons.split())}
    assert sorted(missed - named) == []
