"""Every Python block of README.md and docs/ runs as a script, and prints what it says.

A `python` block followed by a `text` block has to print that text; `...` in it
stands for anything within a line.  A block without one has to end well.  One that is not
for all Pythons prints `needs Python 3.14`, or the like, and ends.
"""

from __future__ import annotations

import re
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """A script of a page, and what it has to print, if that is said."""

    place: str
    script: str
    output: str | None


def examples_of(page: Path) -> Iterator[Example]:
    """The Python blocks of a page, each with the text block that comes next, if it does."""
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    for block, after in zip_longest(blocks, blocks[1:]):
        if block[1] == "python":
            line = text.count("\n", 0, block.start()) + 1
            shown = after[2] if after is not None and after[1] == "text" else None
            if shown is not None and "```" in text[block.end() : after.start()]:  # type: ignore[union-attr]
                shown = None  # another kind of block stands between them
            yield Example(f"{page.relative_to(ROOT)}:{line}", block[2], shown)


EXAMPLES = {example.place: example for page in PAGES for example in examples_of(page)}
README = [place for place in EXAMPLES if place.startswith("README.md")]


@pytest.mark.parametrize("place", README)
def test_an_example_of_the_readme_does_what_it_says(
    place: str, program: Callable[..., Program]
) -> None:
    """An example of README.md runs, and prints what stands below it."""
    check(EXAMPLES[place], program)


@pytest.mark.thorough(one_in=4)
@pytest.mark.parametrize("place", [place for place in EXAMPLES if place not in README])
def test_an_example_does_what_it_says(place: str, program: Callable[..., Program]) -> None:
    """An example of the documentation runs, and prints what stands below it."""
    check(EXAMPLES[place], program)


def check(example: Example, program: Callable[..., Program]) -> None:
    ended = program(example.script).end()
    assert ended.status == 0, ended.err
    if needed := re.fullmatch(r"needs Python 3\.(\d+)\n", ended.out):
        assert sys.version_info < (3, int(needed[1]))
        pytest.skip(ended.out.strip())
    if example.output is not None:
        pattern = re.escape(example.output).replace(r"\.\.\.", ".*")
        assert re.fullmatch(pattern, ended.out), ended.out + ended.err


def test_there_are_examples() -> None:
    """The examples are found: README.md has three, and the tutorial has some."""
    pages = [place.split(":")[0] for place in EXAMPLES]
    assert pages.count("README.md") >= 3
    assert any(page.startswith("docs/tutorial/") for page in pages)


def test_the_readme_begins_with_the_two_commands() -> None:
    """The first two shell lines of README.md run the main job and the tests."""
    shell = [block[2] for block in BLOCK.finditer(PAGES[0].read_text()) if block[1] == "shell"]
    first, second = "".join(shell).splitlines()[:2]
    main_job = "python examples/compress_tree.py --kill 2"
    assert first == f"python -m pip install '.[examples]' && {main_job}"
    assert second == "python -m pip install '.[test]' && python -m pytest"
