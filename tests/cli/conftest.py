"""The command `lastout`, as a user starts it: in a pipe, or at a terminal with a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import lastout
from support.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 30
LASTOUT = [sys.executable, "-m", "lastout"]


class Ran(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs find the lastout that is tested, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(Path(lastout.__path__[0]).parent))


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `lastout` with these arguments, in a session of its own; its pipes are read as text."""
    started: list[subprocess.Popen[str]] = []

    def call(*args: object, **options: Any) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        options = {**pipes, "text": True, "start_new_session": True, **options}
        started.append(subprocess.Popen([*LASTOUT, *map(str, args)], **options))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:  # not read to the end: what the program left may have it open
                pipe.close()


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ran]:
    """Run `lastout` to its end."""

    def call(*args: object, given: str = "", **options: Any) -> Ran:
        process = start(*args, **options)
        out, err = process.communicate(given, timeout=SECONDS)
        return Ran(process.returncode, out, err)

    return call


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """An interactive shell at a terminal, in which `lastout` can be typed."""
    command = tmp_path / "bin" / "lastout"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {" ".join(LASTOUT)} "$@"\n')
    command.chmod(0o700)
    shell = Shell({**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"})
    yield shell
    shell.close()
