"""The example of a stress session under nox: Ctrl-C, and a run that was killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import eventually

pytest.importorskip("nox", reason="nox is not installed")

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

PROJECT = Path(__file__).parents[2] / "examples" / "nox_project"
MODULES = {path.stem: path.read_text() for path in PROJECT.glob("*.py")}
# One that waits, as docs/how-to/stress-tests.md says, for longer than a busy machine needs.
PATIENT = MODULES["noxfile"].replace("*session.posargs", "*session.posargs, interrupt_timeout=30")
WORKERS = 4
RUN_NOX = """
    import os, sys
    nox = [sys.executable, "-m", "nox", "--no-venv", "-s", "stress", "--", *sys.argv[1:]]
    os.execv(nox[0], nox)
"""


@pytest.fixture
def stress(program: Start, tmp_path: Path) -> Start:
    """Start nox in the project, with its things in a directory of their own."""
    (tmp_path / "things").mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {"PATH": path, "TMPDIR": str(tmp_path / "things")}

    def start(*args: str, noxfile: str = MODULES["noxfile"]) -> Program:
        modules = {**MODULES, "noxfile": noxfile}
        session = program(RUN_NOX, args=args, modules=modules, env=env)
        assert eventually(lambda: printed(session).count("is at work") == WORKERS, 30)
        return session

    return start


def printed(session: Program) -> str:
    return (session.directory / "out").read_text()


@pytest.mark.unmeasured(reason="nox kills half a second after Ctrl-C")
@pytest.mark.parametrize("slow", ["0", "60"])
def test_ctrl_c(stress: Start, slow: str, tmp_path: Path) -> None:
    """After Ctrl-C nothing is left, without a reap, also where the workers' ends are too slow."""
    session = stress("--slow-end", slow)
    session.interrupt()
    session.end(20)
    assert eventually(lambda: os.listdir(tmp_path / "root") == [])
    assert os.listdir(tmp_path / "things") == []


def test_it_ends_by_itself(stress: Start) -> None:
    """Where nox waits, the storm ends after its own 0.2 s: nobody waits for an end of 60 s."""
    session = stress("--slow-end", "60", noxfile=PATIENT)
    session.interrupt()
    ended = session.end(40)
    assert "stopped" in ended.out + ended.err


def test_the_next_run_cleans(stress: Start, tmp_path: Path) -> None:
    """Where all are killed, the next run begins by cleaning up after them."""
    killed = stress()
    left = set(os.listdir(tmp_path / "things"))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.end()
    session = stress("--seconds", "0.1")
    assert session.end().status == 0
    assert f"cleaned after the last run: {2 * WORKERS}" in printed(session)
    assert len(left) >= WORKERS
    assert os.listdir(tmp_path / "things") == []
