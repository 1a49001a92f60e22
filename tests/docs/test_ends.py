"""The first table of docs/explanation/guarantees.md: who cleans, however a process ends."""

from __future__ import annotations

import ast
import os
import re
import signal
from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING

import psutil
import pytest

import lastout
from lastout._scopes.records import journal as journals
from support import eventually
from support.guardians import guardian, guardians, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "guarantees.md"
CELL = re.compile(r"(.+): `(test_\w+\.py)::(test_\w+)`")
# Rows whose three cells each name a test.
ROWS = {
    cells[0]: [CELL.fullmatch(cell) for cell in cells[1:]]
    for line in PAGE.read_text().splitlines()
    if len(cells := line.strip("| ").split(" | ")) == 4
    and all(CELL.fullmatch(cell) for cell in cells[1:])
}

ITSELF = "by itself, at once"
NEXT = "by the next to join, leave or reap"
GUARDIAN = "by the guardian, within moments"

FRAME = """
import os, resource, signal, sys, time
import lastout
from say import say

def begin(handled=False):
    if handled:
        lastout.handle_signals()
    lastout.register(os.mkdir, "handler ran")  # not `say`: there may be no space for a word
    scope = lastout.Scope("s", guardian={guardian})
    say("path", scope.directory())
    say("path", scope.file(lifetime="member"))
    return scope

def fill_the_disk():
    # Nothing can be written any more, neither by this process nor by a guardian.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    return {guardian} and lastout.Scope("s", guardian=True)

def wait_for_death():
    say("ready")
    while True:
        time.sleep(0.05)

if __name__ == "__main__":
{script}
"""

ENDS = {
    "returning from the program": "scope = begin()",
    "`sys.exit`": "scope = begin(); sys.exit(3)",
    "an uncaught exception": "scope = begin(); raise ValueError",
    "SIGTERM, with `handle_signals()`": "scope = begin(handled=True); wait_for_death()",
    "SIGTERM": "scope = begin(); wait_for_death()",
    "SIGKILL of one": """
        other = lastout.Scope("s")
        other.directory()                # of the one that lives on
        pid = os.fork()
        if not pid:
            scope = begin()
            say("pid", os.getpid())      # before it is ready
            wait_for_death()
        os.waitpid(pid, 0)
        say("killed")
        input()
        other.leave()
    """,
    "SIGKILL of all": "scope = begin(); os.fork(); wait_for_death()",
    "SIGKILL of all, the guardian too": "scope = begin(); os.fork(); wait_for_death()",
    "`os._exit`": "scope = begin(); os._exit(0)",
    "`os.execv`, when the new program ends": """
        scope = begin()
        os.execv(sys.executable, [sys.executable, "-c", ""])
    """,
    "a reboot": "scope = begin(); wait_for_death()",
    "return, on a full disk": "scope = begin(); again = fill_the_disk()",
    "SIGKILL, on a full disk": """
        scope = begin()
        filled = os.pipe()
        if not os.fork():                # says what the other cannot
            scope.leave()
            os.read(filled[0], 1)
            wait_for_death()
        again = fill_the_disk()
        os.write(filled[1], b"!")
        signal.pause()
    """,
}
KILLED = [event for event in ENDS if "SIGKILL" in event or "reboot" in event]


def test_the_table_is_whole() -> None:
    """Each event has its row and its program, and each cell names a test that there is."""
    assert list(ROWS) == list(ENDS)
    for cells in ROWS.values():
        for cell in cells:
            assert cell
            [path] = TESTS.rglob(cell[2])
            names = {getattr(node, "name", "") for node in ast.parse(path.read_text()).body}
            assert cell[3] in names


def run(program: Callable[..., Program], event: str, guarded: bool) -> Program:
    """End a program by the event."""
    script = indent(dedent(ENDS[event]), "    ")
    child = program(FRAME.format(script=script, guardian=guarded))
    if event.startswith("SIGTERM"):
        child.wait_for("ready")
        child.signal(signal.SIGTERM)
    elif event in KILLED:
        kill(child, event, guarded)
    if event != "SIGKILL of one":
        child.end()
    return child


def kill(child: Program, event: str, guarded: bool) -> None:
    child.wait_for("ready", 2 if "of all" in event else 1)
    if event == "SIGKILL of one":
        [pid] = [int(line.split()[1]) for line in child.lines if line.startswith("pid")]
        os.kill(pid, signal.SIGKILL)
        child.wait_for("killed")
        return
    if guarded and ("too" in event or "reboot" in event):
        one = guardian(scope_path())
        one.kill()
        assert eventually(lambda: has_ended(one))
    forked = psutil.Process(child.pid).children()
    os.killpg(child.pid, signal.SIGKILL)
    child.end()
    assert eventually(lambda: all(map(has_ended, forked)))
    if "reboot" in event:
        for journal in Path(scope_path()).glob("*.journal"):
            journal.write_bytes(of_another_boot(journal.read_bytes()))


def of_another_boot(journal: bytes) -> bytes:
    """A journal as it would stand on the disk after a reboot."""
    boot = journals.parse("", journal).who.boot
    lines = [line[9:].decode().replace(boot, "the one before") for line in journal.split(b"\n")[1:]]
    return b"".join(map(journals.seal, lines))


def scope_path() -> str:
    return os.path.join(os.environ["LASTOUT_ROOT"], "s")


def left(child: Program, event: str) -> list[str]:
    """What is still there of what has to go."""
    paths = [line.split()[1] for line in child.lines if line.startswith("path")]
    if event == "SIGKILL of one":
        paths = paths[1:]  # the other one belongs to the scope
    else:
        paths.append(scope_path())
    return [path for path in paths if os.path.exists(path)]


@pytest.mark.thorough(one_in=3)
@pytest.mark.parametrize("event", ENDS)
def test_exit_handlers(event: str, program: Callable[..., Program]) -> None:
    """Exit handlers run, or are lost, as the first column says."""
    child = run(program, event, guarded=False)
    assert (child.directory / "handler ran").exists() == (said_of(event, 0) == "run")
    finish(child, event)


@pytest.mark.thorough(one_in=3)
@pytest.mark.parametrize("event", ENDS)
def test_in_a_scope(event: str, program: Callable[..., Program]) -> None:
    """What was made in a scope is cleaned by whom the second column says."""
    child = run(program, event, guarded=False)
    assert bool(left(child, event)) == (said_of(event, 1) == NEXT), left(child, event)
    finish(child, event)
    assert not left(child, event)


@pytest.mark.thorough(one_in=3)
@pytest.mark.parametrize("event", ENDS)
def test_with_a_guardian(event: str, program: Callable[..., Program]) -> None:
    """With a guardian it is cleaned by whom the third column says."""
    child = run(program, event, guarded=True)
    if said_of(event, 2) == GUARDIAN:
        assert eventually(lambda: not left(child, event)), left(child, event)
    else:
        assert bool(left(child, event)) == (said_of(event, 2) == NEXT), left(child, event)
    finish(child, event)
    assert not left(child, event)
    assert eventually(lambda: not guardians(scope_path()))


def said_of(event: str, column: int) -> str:
    """What the table says."""
    cell = ROWS[event][column]
    assert cell
    assert cell[1] in {"run", "lost", ITSELF, NEXT, GUARDIAN}
    return cell[1]


def finish(child: Program, event: str) -> None:
    """Clean what is left, and let the one that was not killed end."""
    assert lastout.reap().ok
    if event == "SIGKILL of one":
        child.tell()
        assert child.end().status == 0
