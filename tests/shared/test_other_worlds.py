"""Processes in other worlds: stopped, with a pid used again, with another clock, odd paths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope
from support.unshared import unshared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program


def test_a_stopped_member_lives(tmp_path: Path, program: Callable[..., Program]) -> None:
    """Who is stopped holds nobody up, and loses nothing; killed, it is cleaned up after."""
    child = program(
        """
        import sys
        import lastout
        from say import say
        scope = lastout.Scope("s")
        scope.file(sys.argv[1] + "/shared")
        scope.file(sys.argv[1] + "/own", lifetime="member")
        say("ready")
        input()
        """,
        args=[str(tmp_path)],
    )
    child.wait_for("ready")
    child.signal(signal.SIGSTOP)
    with Scope("s") as scope:
        assert [member.alive for member in scope.members()] == [True, True]
        assert lastout.reap().ok
    assert (tmp_path / "shared").exists()
    assert (tmp_path / "own").exists()
    child.kill()
    child.end()
    assert lastout.reap().ok
    assert not (tmp_path / "shared").exists()
    assert not (tmp_path / "own").exists()


def test_a_pid_that_is_used_again(tmp_path: Path) -> None:
    """A dead member whose pid another process has got is dead; with its own pid it lives."""
    script = """
    import os, signal, sys, time
    import lastout
    made = sys.argv[1]

    def member(keep):
        pid = os.fork()
        if not pid:
            scope = lastout.Scope("s")
            scope.file(made)
            os.closerange(3, 256)  # nothing but its pid tells that it lives
            signal.pause()
        while not os.path.exists(made):
            time.sleep(0.01)
        while not free(pid):
            time.sleep(0.01)
        return pid

    def free(pid):
        # Its descriptors are closed when nothing of the scope is open any more.
        fds = f"/proc/{pid}/fd"
        return not any("/s/" in os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds))

    first = member(made)
    lastout.reap()
    assert os.path.exists(made), "cleaned under a living process"
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    started = time.clock_gettime(time.CLOCK_BOOTTIME)
    while time.clock_gettime(time.CLOCK_BOOTTIME) < started + 0.05:
        time.sleep(0.01)  # start times are in ticks of 10 ms
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(first - 1))
    again = os.fork()
    if not again:
        signal.pause()
    assert again == first, (again, first)
    report = lastout.reap()
    assert report.ok, report
    assert not os.path.exists(made)
    os.kill(again, signal.SIGKILL)
    os.waitpid(again, 0)
    """
    command = unshared("--pid", "--fork", "--kill-child", "--mount-proc")
    ran = subprocess.run(
        [*command, sys.executable, "-c", dedent(script), str(tmp_path / "made")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("offset", ["1000000", "-50"])
def test_another_clock(tmp_path: Path, offset: str) -> None:
    """A member whose clocks go differently lives as long as it does, and is cleaned up after."""
    command = unshared(
        "--time", "--fork", "--kill-child", f"--monotonic={offset}", f"--boottime={offset}"
    )
    script = """
    import os, sys
    import lastout
    scope = lastout.Scope("s")
    scope.file(sys.argv[1] + "/shared")
    scope.file(sys.argv[1] + "/own", lifetime="member")
    print("ready", flush=True)
    input()
    os.kill(os.getpid(), 9)
    """
    with Scope("s") as scope:
        scope.directory(tmp_path / "before")
        with subprocess.Popen(
            [*command, sys.executable, "-c", dedent(script), str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            assert lastout.reap().ok
            assert (tmp_path / "own").exists()
            child.communicate(b"die\n")
        assert [one.alive for one in scope.members()].count(True) == 1
        assert lastout.reap().ok
        assert not (tmp_path / "own").exists()
        assert (tmp_path / "shared").exists()
    assert not (tmp_path / "shared").exists()


def test_every_byte_in_a_path(tmp_path: Path, program: Callable[..., Program]) -> None:
    """Root, directory and file may have all bytes in their names but NUL and the slash."""
    every = [bytes(range(1, 128)).replace(b"/", b""), bytes(range(128, 256))]
    base = os.path.join(os.fsencode(tmp_path), *every)
    os.makedirs(base)
    child = program(
        """
        import os, sys
        import lastout
        from say import say
        base, name = (os.fsencode(word) for word in sys.argv[1:])
        scope = lastout.Scope("s", root=os.path.join(base, b"root"))
        made = scope.directory(os.path.join(base, b"made"))
        scope.file(os.path.join(os.fsencode(made), name))
        scope.command(["rmdir", os.path.join(base, b"by command")], cwd=base)
        say("ready")
        input()
        """,
        args=[os.fsdecode(base), os.fsdecode(every[0])],
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    os.mkdir(os.path.join(base, b"by command"))
    assert lastout.reap(os.path.join(os.fsdecode(base), "root")).ok
    assert os.listdir(base) == [b"root"]
