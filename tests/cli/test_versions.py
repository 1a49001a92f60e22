"""Two versions of lastout in one root: `lastout run` of one spares the guardian of the other."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout._platform import pids
from lastout._scopes.guardian.client import _PROGRAM
from lastout.backends.guards import is_guardian
from support import eventually
from support.builds import OTHER_BUILD, by_hand
from support.guardians import guardian, guardians

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Ran

    Run = Callable[..., Ran]

# What the first release starts a guardian with, and what one to come may.
FIRST = (
    "import sys; lastout = sys.modules['lastout'] = type(sys)('lastout');"
    " lastout.__path__ = [sys.argv[2]];"
    " from lastout._shared.watch import main; main(*sys.argv[3:])"
)
LATER = FIRST.replace("watch import main; main(", "watch import main as be; be(")
# Early builds knew no marks, and their guardians bear that of the tree that they came of.
EARLY = FIRST.replace(
    "lastout._scopes", "lastout._platform import marks; marks.{}; from lastout._scopes"
)
EARLY = EARLY.format("take_mark_off = lambda: None")
TEXTS = {"this": _PROGRAM, "the first": FIRST, "a later": LATER, "an early": EARLY}

# Leaves a guardian of a scope that another process is in; started with that text, if there is one.
LEAVES_ONE = """
import os, sys
import lastout
from lastout._scopes.guardian import client as guardian

guardian._PROGRAM = sys.argv[1] if len(sys.argv) > 1 else guardian._PROGRAM
scope = lastout.Scope("other", guardian=True)
os._exit(0)
"""


def has_guardian(scope: lastout.Scope) -> bool:
    """Whether it has one that was there already: nobody starts one here."""
    return is_guardian(guardian(scope).pid)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_guardian_of_another_version(run: Run, text: str) -> None:
    """Whatever text it was started with, it goes on when the command has ended."""
    with lastout.Scope("other") as scope:
        assert run("run", "--", sys.executable, "-c", LEAVES_ONE, text) == (0, "", "")
        assert has_guardian(scope)
    assert eventually(lambda: not guardians(scope))


def test_the_first_release_knows_ours() -> None:
    """It looks for the name and for its own text in the command line, so that text is ours too."""
    with lastout.Scope("other", guardian=True) as scope:
        words = pids.command_line(guardian(scope).pid)
        assert b"lastout-guardian" in words
        assert FIRST.encode() in words
    assert eventually(lambda: not guardians(scope))


def test_the_name_alone(run: Run) -> None:
    """A program that is called with the name of guardians, and has no lock of one, is ended."""
    code = """
import subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep(300)", "lastout-guardian"]
print(subprocess.Popen(sleep, start_new_session=True).pid)
"""
    ran = run("run", "--", sys.executable, "-c", code)
    assert (ran.status, ran.err) == (0, "")
    assert pids.process_facts(int(ran.out)) is None


@by_hand
@pytest.mark.parametrize("other", ["the command", "the guardian"])
def test_two_builds(run: Run, other: str) -> None:
    """`lastout run` of this build spares the guardian of the other, and the other way round."""
    builds = [str(Path(lastout.__path__[0]).parent), OTHER_BUILD]
    command, program = reversed(builds) if other == "the command" else builds
    code = f"import sys; sys.path.insert(0, {program!r}){LEAVES_ONE}"
    code = code.replace("os._exit", "os.write(1, lastout.__file__.encode()); os._exit")
    with lastout.Scope("other") as scope:
        environment = {**os.environ, "PYTHONPATH": command}
        ran = run("run", "--", sys.executable, "-c", code, env=environment)
        assert ran == (0, f"{program}/lastout/__init__.py", "")
        assert has_guardian(scope)
    assert eventually(lambda: not guardians(scope))
