"""Foreground: what happens in the moments that a terminal shows seldom."""

from __future__ import annotations

import os
import signal
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lastout.cli.run import foreground
from lastout.cli.run.foreground import ForegroundCommand

from .conftest import LASTOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

RUN = """
import os, signal, subprocess
from lastout.deadline import Deadline
from lastout.cli.run.foreground import ForegroundCommand

def start():
    {first}
    return subprocess.Popen({command}, process_group=0)

{before}
print(ForegroundCommand(start).run(Deadline(60)))
{after}
"""


def unstarted() -> Any:
    """Nothing: these tests start no command."""
    raise AssertionError("started")


def test_a_signal_while_it_starts(program: Callable[..., Program]) -> None:
    """A signal that comes before the command is there is passed on to it."""
    first = "os.kill(os.getpid(), signal.SIGTERM)"
    text = RUN.format(first=first, command=["sleep", "600"], before="", after="")
    assert program(text).end() == (0, f"{-signal.SIGTERM}\n", "")


def test_orphans_are_waited_for(program: Callable[..., Program]) -> None:
    """A child that it has not started, and that has ended, is waited for by it."""
    text = RUN.format(
        first="pass",
        command=["sleep", "0.1"],
        before="""
orphan = os.fork()
if not orphan:
    os._exit(0)
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
""",
        after="""
try:
    os.waitpid(orphan, 0)
except ChildProcessError:
    print("nobody left")
""",
    )
    assert program(text).end() == (0, "0\nnobody left\n", "")


def test_a_stop_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the shell continues us already, a stop of the command stops nobody any more."""
    monkeypatch.setattr(signal, "sigpending", lambda: {signal.SIGCONT})
    terminal: Any = SimpleNamespace()  # nothing may be done with it
    ForegroundCommand(unstarted)._stop_too(signal.SIGTSTP, 1, terminal)


def test_a_stop_where_nobody_could_continue() -> None:
    """In a session of nobody but lastout, a command that stops itself goes on at once."""
    mine, inner = os.openpty()
    command = [*LASTOUT, "run", "--", "sh", "-c", "kill -TSTP $$; echo went on"]
    # The program `setsid` makes lastout the first of a session at that terminal.
    process = subprocess.Popen(
        ["setsid", "--ctty", *command], stdin=inner, stdout=subprocess.PIPE, text=True
    )
    os.close(inner)
    try:
        assert process.communicate(timeout=30) == ("went on\n", None)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(mine)


@pytest.mark.parametrize(
    ("error", "told"),
    [(ProcessLookupError, ""), (PermissionError, "the program is another user's")],
)
def test_a_signal_that_does_not_arrive(
    error: type[OSError],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that has ended is no trouble; one that may not be signalled is named."""

    def refuse(pid: int, signum: int) -> None:
        raise error

    monkeypatch.setattr(foreground, "os", SimpleNamespace(kill=refuse, killpg=refuse))
    one = ForegroundCommand.__new__(ForegroundCommand)
    one.process = SimpleNamespace(pid=0)  # type: ignore[assignment]
    one._send(signal.SIGTERM)
    shown = capsys.readouterr().err
    assert told in shown
    assert bool(told) == bool(shown)
