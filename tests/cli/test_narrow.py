"""Terminals of any size: what is printed may be wrapped, but is never cut off."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

import lastout

from .test_list_show import killed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.shell import Shell

    from .test_list_show import Run

__all__ = ["killed"]  # a fixture
WIDTHS = pytest.mark.parametrize("width", [20, 40, 60, 100])
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def lines_of(printed: str, width: int) -> list[str]:
    """The lines on a terminal of this width; none is longer, so it wraps nothing itself."""
    lines = CONTROL.sub("", printed).splitlines()
    assert all(len(line) <= width for line in lines), lines
    return lines


def joined(parts: Iterable[str]) -> str:
    """What stands there, without any spaces: where it is wrapped there are some."""
    return "".join("".join(parts).split())


def whats(lines: list[str]) -> str:
    """All that stands below or beside WHAT, without spaces."""
    heads = [number for number, line in enumerate(lines) if {"KIND", "WHAT"} <= {*line.split()}]
    heads += [number for number, line in enumerate(lines) if {"STATUS", "WHAT"} <= {*line.split()}]
    if not heads:
        return joined(lines)
    start = lines[heads[0]].index("WHAT")
    return joined([re.split(r"\s{2,}", line[start:])[0] for line in lines[heads[0] + 1 :]])


def numbers_beside(title: str, lines: list[str]) -> set[str]:
    """The words of the lines that begin with this title, or of those below it in a table."""
    words = [line.split() for line in lines]
    heads = [number for number, line in enumerate(words) if title in line and len(line) > 2]
    if heads:
        return {word for line in words[heads[0] + 1 :] for word in line}
    return {line[-1] for line in words if line[:1] == [title]}


@pytest.mark.thorough(one_in=3)
@WIDTHS
def test_one_scope(width: int, run: Run, killed: Path, shell: Shell) -> None:
    """`show` has every path, process id and number in whole."""
    [scope] = json.loads(run("show", "s", "--json").out)["scopes"]
    lines = lines_of(shell.run(f"COLUMNS={width} lastout show s"), width)
    for one in scope["artifacts"]:
        assert (one["kind"] == "popen") or one["location"] in whats(lines), lines
    assert width < 60 or len(lines) < 40, "a path is a ribbon"
    assert scope["path"] in joined(lines)
    assert str(scope["members"][0]["pid"]) in numbers_beside("PID", lines), lines
    assert {"1", "2", "3", "4", "5"} <= numbers_beside("#", lines), lines
    shell.run("lastout reap")
    assert not killed.exists()


@pytest.mark.thorough(one_in=3)
@WIDTHS
def test_all_scopes(width: int, shell: Shell) -> None:
    """`list` has each name in whole, and how many are in it."""
    name = "a-scope-that-has-a-rather-long-name-which-is-wrapped"
    with lastout.Scope(name) as scope:
        for _ in range(123):
            scope.file()
        lines = lines_of(shell.run(f"COLUMNS={width} lastout list"), width)
    assert name in joined(re.sub(r"\s{2,}.*", "", line) for line in lines), lines
    assert "123" in numbers_beside("ARTIFACTS", lines), lines


@pytest.mark.thorough(one_in=3)
@WIDTHS
def test_what_is_reaped(width: int, killed: Path, shell: Shell) -> None:
    """`reap` and its dry run have each path in whole."""
    due = lines_of(shell.run(f"COLUMNS={width} lastout reap --dry-run"), width)
    assert str(killed) in whats(due)
    done = lines_of(shell.run(f"COLUMNS={width} lastout reap 2>/dev/null"), width)
    assert str(killed) in whats(done)
    assert not killed.exists()


def test_a_low_one(killed: Path, shell: Shell) -> None:
    """`watch` counts the lines for which the screen is too low."""
    shell.run("stty rows 8 cols 40")
    shell.type("lastout watch s\n")
    shell.until("more lines below")
    shell.type("\x03")
    shell.until("=ready=>")
    shell.run("lastout reap")
    assert not killed.exists()
