"""`lastout run` at a terminal: what a shell's user is used to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lastout._platform import pids
from support import eventually
from support.shell import PROMPT

if TYPE_CHECKING:
    from support.shell import Shell

# Says which signals it felt, and ends when it has felt as many as it is told to.  It has them
# blocked: one that comes just before it waits is not lost, as it would be with `pause`.
PROGRAM = """
import os, signal, sys
felt = {signal.SIGINT, signal.SIGTERM, signal.SIGCONT, signal.SIGWINCH}
signal.pthread_sigmask(signal.SIG_BLOCK, felt)
print("running", flush=True)
for count in range(1, int(sys.argv[1]) + 1):
    signum = signal.sigwait(felt)
    # In one write: the prompt of the shell may come between two.
    os.write(1, f"felt {signal.Signals(signum).name} {count}\\n".encode())
sys.exit(9)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    """The command line of a program that says what it feels."""
    script = tmp_path / "feel.py"
    script.write_text(PROGRAM)
    return f"{sys.executable} {script}"


def test_it_reads_the_terminal(shell: Shell) -> None:
    """The program has the terminal for its input, and the shell has it again afterwards."""
    shell.type("lastout run -- sh -c 'echo asking; read word; echo \"<$word>\"'\n")
    shell.until("asking")
    shell.type("hello\n")
    shell.until("<hello>")
    shell.until(PROMPT)
    assert shell.status() == 0


def test_ctrl_c_is_felt_once(shell: Shell, program: str) -> None:
    """Ctrl-C reaches the program once, and lastout waits for what it makes of it."""
    shell.type(f"lastout run -- {program} 2\n")
    shell.until("running")
    shell.type("\x03")
    shell.until("felt SIGINT 1")
    shell.type("\x03")
    shell.until("felt SIGINT 2")
    shell.until(PROMPT)
    assert shell.status() == 9


def test_a_job_is_killed_once(shell: Shell, program: str) -> None:
    """`kill %1` signals our whole group: the program feels one SIGTERM, not two."""
    shell.run(f"lastout run -- {program} 2 & sleep 0")
    shell.until("running")
    shell.type("kill %1\n")
    shell.until("felt SIGTERM 1")
    shell.type("kill -INT %1; wait %1; echo ended $?\n")
    shell.until("felt SIGINT 2")
    shell.until("ended 9")


def test_ctrl_c_ends_a_loop_of_the_shell(shell: Shell) -> None:
    """A program that dies of Ctrl-C stops the script that it is in, as it would by itself."""
    shell.type("for i in 1 2 3; do echo round $i; lastout run -- sleep 600; done\n")
    shell.until("round 1")
    shell.until("\n")
    # The one that sleeps has the terminal when nobody else reads Ctrl-C.
    assert eventually(lambda: _sleeps(shell))
    shell.type("\x03")
    said = shell.until(PROMPT)
    assert "round 2" not in said
    assert shell.status() == 130


def test_ctrl_z_and_fg(shell: Shell, program: str) -> None:
    """Ctrl-Z stops both, the shell takes over, and `fg` continues both."""
    shell.type(f"lastout run -- {program} 2\n")
    shell.until("running")
    shell.type("\x1a")
    shell.until("Stopped")
    shell.until(PROMPT)
    assert shell.run("echo here").strip() == "here"
    shell.type("fg\n")
    shell.until("felt SIGCONT 1")
    shell.type("\x03")
    shell.until("felt SIGINT 2")
    shell.until(PROMPT)
    assert shell.status() == 9


def test_a_program_that_stops_itself(shell: Shell) -> None:
    """Where only the program stops, as editors do, the shell takes over all the same."""
    shell.type("lastout run -- sh -c 'kill -STOP $$; echo again; read x; echo got $x'\n")
    shell.until("Stopped")
    shell.until(PROMPT)
    shell.type("fg\n")
    shell.until("again")
    shell.type("this\n")
    shell.until("got this")
    shell.until(PROMPT)
    assert shell.status() == 0


def test_in_the_background_it_stops_when_it_reads(shell: Shell) -> None:
    """A job in the background may not read the terminal: all of it stops, and reads after `fg`."""
    shell.type("(lastout run -- sh -c 'read x; echo got $x'; true) &\n")
    shell.until(PROMPT)
    assert eventually(lambda: "Stopped" in shell.run("jobs"), step=0.05)
    shell.type("fg\n")
    shell.until("read x")  # the shell says what it continues
    shell.type("that\n")
    shell.until("got that")
    shell.until(PROMPT)
    assert shell.status() == 0


def test_in_a_pipeline_the_others_keep_the_terminal(shell: Shell, program: str) -> None:
    """A pager behind the pipe reads the terminal while the program runs, and Ctrl-C ends both."""
    reader = "sh -c 'read line; echo first: $line; read key </dev/tty; echo key: $key; cat'"
    shell.type(f"lastout run -- {program} 1 | {reader}\n")
    shell.until("first: running")
    shell.type("q\n")
    shell.until("key: q")
    shell.type("\x03")
    shell.until(PROMPT)
    # 1: the reader was gone before it said what it felt.
    assert shell.run("echo ${PIPESTATUS[@]}").split() in (["9", "130"], ["1", "130"])
    shell.type("lastout run -- sh -c 'read word; echo \"<$word>\"' | cat\n")
    shell.type("asked\n")
    shell.until("<asked>")
    shell.until(PROMPT)
    assert shell.status() == 0


def test_hanging_up_ends_it(shell: Shell, tmp_path: Path) -> None:
    """When the terminal goes away, so do the program and what it has left."""
    out = tmp_path / "pids"
    left = "setsid sleep 601 & echo $! >pids; echo running; sleep 602"
    shell.run(f"cd {tmp_path}")
    shell.type(f"lastout run -- sh -c '{left}'\n")
    shell.until("running")
    shell.close()
    assert eventually(lambda: not _runs(int(out.read_text())))


def _runs(pid: int) -> bool:
    facts = pids.process_facts(pid)
    return facts is not None and not facts.ending


def _sleeps(shell: Shell) -> bool:
    """Whether the program in the foreground is a `sleep`."""
    front = shell.in_front()
    try:
        return Path(f"/proc/{front}/comm").read_text() == "sleep\n"
    except FileNotFoundError:
        return False
