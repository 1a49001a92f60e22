"""Burial: forked children that went away with nothing leave nothing in the scope."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="scopes need POSIX")

HEAD = """
    import os, signal, subprocess, sys, threading
    import lastout
    from say import say

    scope = lastout.Scope("s")

    def members():
        return {name for name in os.listdir(scope.path) if name.endswith(".journal")}

    def fork(act):
        child = os.fork()
        if not child:
            act()
            os._exit(0)
        return child

    def end(child):
        os.waitpid(child, 0)

    def run(count):
        for _ in range(count):
            subprocess.run(["true"], preexec_fn=os.getpid, check=True)

"""
FEW = 10  # the parent, those that are left lying, the latest


def test_programs_by_way_of_a_fork_in_python(program: Callable[..., Program]) -> None:
    """A parent that starts 100 programs by `preexec_fn` never has more than a few dead members."""
    child = program(
        HEAD
        + """
    most = 0
    for _ in range(100):
        run(1)
        most = max(most, len(members()))
    say(most)
    """
    )
    assert child.end() == (0, "", "")
    assert int(child.lines[0]) <= FEW
    assert not os.listdir(os.environ["LASTOUT_ROOT"])


def test_children_that_end_without_leaving(program: Callable[..., Program]) -> None:
    """Nor does one whose children end by `os._exit`."""
    child = program(
        HEAD
        + """
    for _ in range(100):
        end(fork(lambda: None))
    say(len(members()))
    """
    )
    assert child.end() == (0, "", "")
    assert int(child.lines[0]) <= FEW


def test_programs_that_go_on(program: Callable[..., Program]) -> None:
    """A program that was started so and goes on is no member any more."""
    child = program(
        HEAD
        + """
    programs = [
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, preexec_fn=os.getpid) for _ in range(40)
    ]
    say(len(members()))
    for one in programs:
        one.communicate()
    """
    )
    assert child.end() == (0, "", "")
    assert int(child.lines[0]) <= FEW


@pytest.mark.parametrize("closes", [False, True], ids=["lock", "no lock"])
def test_a_child_that_lives(program: Callable[..., Program], closes: bool) -> None:
    """A child that has made nothing yet stays a member, also if it closes all descriptors."""
    child = program(
        HEAD
        + f"""
    there, back = os.pipe(), os.pipe()

    def live():
        if {closes}:
            keep = {{there[0], back[1]}}
            for number in range(3, 256):
                if number not in keep:
                    try:
                        os.close(number)
                    except OSError:
                        pass
        os.write(back[1], b".")
        os.read(there[0], 1)
        scope.directory("made")
        lastout.unwind()
        os.write(back[1], b"made" if os.path.exists("made") else b"left")

    before = members()
    child = fork(live)
    os.read(back[0], 1)
    born = members() - before
    run(40)
    say(born <= members(), len(members()) <= {FEW + 1})
    os.write(there[1], b".")
    say(os.read(back[0], 4).decode())
    end(child)
    """
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["True True", "made"]
    assert not (child.directory / "made").exists()


def test_a_child_that_was_killed_with_something(program: Callable[..., Program]) -> None:
    """What a killed child had made stays recorded, and the next one cleans it."""
    child = program(
        HEAD
        + """
    def make():
        scope.directory("made", lifetime="member")
        os.kill(os.getpid(), signal.SIGKILL)

    before = members()
    end(fork(make))
    born = members() - before
    run(40)
    say(born <= members(), os.path.exists("made"))
    lastout.reap()
    say(born <= members(), os.path.exists("made"))
    """
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["True True", "False False"]


def test_a_fork_while_somebody_has_the_scope(program: Callable[..., Program]) -> None:
    """A fork does not wait for whoever holds the scope; a later one buries."""
    child = program(
        HEAD
        + """
    from lastout._scopes.membership.joining import joined

    one = joined[scope.path]
    held, done = threading.Event(), threading.Event()

    def cleaner():
        with one.scope.lock():
            held.set()
            done.wait(60)

    thread = threading.Thread(target=cleaner)
    thread.start()
    held.wait(60)
    run(20)
    say(len(members()))
    done.set()
    thread.join()
    run(1)
    say(len(members()))
    """
    )
    assert child.end().status == 0  # from 3.12 a warning: there are threads
    assert child.lines == ["21", "2"]


def test_a_killed_parent_with_its_children(program: Callable[..., Program]) -> None:
    """What a killed parent could not bury the next one does."""
    child = program(
        HEAD
        + """
    run(20)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    )
    assert child.end().status == -signal.SIGKILL
    assert program("import lastout; lastout.reap()").end() == (0, "", "")
    assert not os.listdir(os.environ["LASTOUT_ROOT"])
