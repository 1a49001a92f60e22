"""The survivors that `docs/explanation/mutation.md` explains.

Below the name of a module, as heading, `diff` blocks: a line of it, and what may
stand there instead without a difference.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "mutation.md"


def explained() -> dict[str, set[tuple[str, str]]]:
    """By module: a line, and what may stand there instead."""
    found: dict[str, set[tuple[str, str]]] = {}
    for section in PAGE.read_text().split("\n### ")[1:]:
        known = found.setdefault(section.splitlines()[0].strip("`"), set())
        for block in re.findall(r"^```diff\n(.*?)^```", section, re.DOTALL | re.MULTILINE):
            old = ""
            for line in block.splitlines():
                if line.startswith("-"):
                    old = line[1:].strip()
                else:
                    known.add((old, line[1:].strip()))
    return found
