"""`lastout run` where the scope itself fails: the program's status, and a word about it."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from support import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support import Program

    from .conftest import Ran

    Run = Callable[..., Ran]
    Start = Callable[..., subprocess.Popen[str]]

FAULTY = """
import sys
from signal import SIGTERM, raise_signal
from lastout import errors
from lastout._scopes.guardian import client as guardian
from lastout.cli.run.descendants import DescendantGroup
from lastout._scopes.scope import Scope
from lastout.cli.main import main

def refuse(*_, **__):
    raise errors.SystemRefused("for this test", path="x")

{fault}
sys.exit(main(["run", {options}"--", "sh", "-c", "exit 3"]))
"""


@pytest.mark.parametrize(
    ("fault", "options", "status", "told"),
    [
        ("guardian._start = refuse", '"--guardian", ', 3, "has no guardian"),
        ("Scope.popen = refuse", "", 125, "cannot run 'sh': for this test"),
        ("DescendantGroup.end_all = lambda *_: [7]", "", 3, "did not end even by SIGKILL: pids 7"),
        ("Scope.artifacts = refuse", "", 3, ""),
        ("Scope.leave = lambda _: raise_signal(SIGTERM)", "", 3, "not all was cleaned: interrupt"),
    ],
    ids=["no guardian", "no record", "not to be killed", "not to be read", "in a hurry"],
)
def test_what_fails_is_told(
    fault: str, options: str, status: int, told: str, program: Callable[..., Program]
) -> None:
    """Whatever the scope cannot do is said, and is not the program's fault."""
    ended = program(FAULTY.format(fault=fault, options=options)).end()
    assert (ended.status, ended.out) == (status, ""), ended.err
    assert told in ended.err
    assert bool(told) == bool(ended.err)


def test_a_signal_ends_a_cleanup(start: Start, run: Run, tmp_path: Path) -> None:
    """A signal while something is cleaned ends that cleanup, which stays recorded; it is told."""
    code = """
import lastout
scope = lastout.current_scope()
scope.command(["sh", "-c", "test -e tidy || { touch began; exec sleep 600; }"])
"""
    command = ["run", "--name", "s", "--", sys.executable, "-c", code]
    process = start(*command, cwd=tmp_path)
    assert eventually((tmp_path / "began").exists, 30)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=30)[1]
    assert "not cleaned: command sh" in told
    assert ": interrupted by a signal\n" in told
    assert "`lastout reap s` tries again" in told
    assert process.returncode == 0
    (tmp_path / "tidy").touch()
    assert run("reap", "s").status == 0
