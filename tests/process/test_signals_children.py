"""Signals to children: forks while signals are handled, and pools that end their workers."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support import eventually
from support.scripts import FAMILY

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


def test_signal_to_a_forked_child(program: Start) -> None:
    """A SIGTERM to a forked child runs the child's handlers only, and only the child dies of it."""
    child = program(
        FAMILY
        + """
    lastout.register(say, "parent")
    lastout.handle_signals()
    pid = os.fork()
    if not pid:
        lastout.register(say, "child")
        say("born")
        wait()
    input()
    os.kill(pid, signal.SIGTERM)
    say("status", status_of(pid))
    """
    )
    child.wait_for("born")
    child.tell("go")
    end = child.end(seconds=20)
    assert (end.status, end.err) == (0, "")
    lines = [line for line in child.lines if not line.startswith("ready")]
    assert lines == ["born", "child", "status -15", "parent"]


def test_signal_to_the_parent_of_a_fork(program: Start) -> None:
    """A SIGTERM to the parent runs the parent's handlers, and a child lives on with its own."""
    child = program(
        FAMILY
        + """
    lastout.register(say, "parent")
    lastout.handle_signals()
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(into)
        lastout.register(say, "child")
        os.read(out, 1)  # until the parent is gone
        sys.exit()
    wait()
    """
    )
    child.wait_for(f"ready {child.pid}")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20).status == -signal.SIGTERM
    assert eventually(lambda: "child" in child.lines)
    assert sorted(child.lines[1:]) == ["child", "parent"]


def test_signal_to_a_grandchild(program: Start) -> None:
    """Each generation has a watcher of its own."""
    child = program(
        FAMILY
        + """
    lastout.register(say, "parent")
    lastout.handle_signals()
    def generation(number):
        pid = os.fork()
        if pid:
            say("status", number, status_of(pid))
            sys.exit()
        lastout.register(say, number)
        if number < 3:
            generation(number + 1)
        os.kill(os.getpid(), signal.SIGTERM)
        wait()
    generation(1)
    """
    )
    end = child.end(seconds=20)
    assert (end.status, end.err) == (0, "")
    lines = [line for line in child.lines if not line.startswith("ready")]
    assert lines == ["3", "status 3 -15", "2", "status 2 0", "1", "status 1 0", "parent"]


@pytest.mark.parametrize("where", ["main", "thread"])
def test_signal_right_after_the_fork(program: Start, where: str) -> None:
    """Two hundred children that are sent a SIGTERM as soon as they exist: none is lost or hangs."""
    child = program(
        FAMILY
        + """
    lastout.handler(inherit=True, args=("inherited",))(mine)
    lastout.handle_signals()
    def storm():
        for _ in range(200):
            pid = os.fork()
            if not pid:
                wait()
            os.kill(pid, signal.SIGTERM)
            say("status", status_of(pid))
    if sys.argv[1] == "main":
        storm()
    else:
        thread = threading.Thread(target=storm)
        thread.start()
        thread.join()
    """,
        args=[where],
    )
    end = child.end(seconds=60)
    assert (end.status, end.err) == (0, "")
    counts = Counter(line for line in child.lines if not line.startswith("ready"))
    assert counts.pop("status -15") == 200
    assert len(counts) == 201, "the children and the parent"
    assert set(counts.values()) == {1}


def test_signals_to_parent_and_child_at_once(program: Start) -> None:
    """A whole group that is sent a SIGTERM right after the fork: each process runs its own once."""
    child = program(
        FAMILY
        + """
    lastout.handler(inherit=True, args=("inherited",))(mine)
    lastout.handle_signals()
    children = []
    for _ in range(20):
        pid = os.fork()
        if not pid:
            children = []
            wait()
        children.append(pid)
    lastout.register(lambda: [say("status", status_of(pid)) for pid in children])
    os.killpg(0, signal.SIGTERM)
    wait()
    """
    )
    end = child.end(seconds=60)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    counts = Counter(line for line in child.lines if not line.startswith("ready"))
    assert counts.pop("status -15") == 20
    assert len(counts) == 21
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("hook", ["None", "lambda: None"])
def test_other_programs_start_with_free_signals(program: Start, hook: str) -> None:
    """A program that is started meanwhile has no signal blocked, with a `preexec_fn` or without."""
    child = program(
        FAMILY
        + f"""
    import subprocess
    lastout.handle_signals()
    look = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    subprocess.run([sys.executable, "-c", look], preexec_fn={hook}, check=True)
    print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    """
    )
    end = child.end(seconds=20)
    assert (end.status, end.err, end.out) == (0, "", "set()\nset()\n")


def test_fork_keeps_the_program_s_own_mask(program: Start) -> None:
    """A signal that the program itself has blocked stays blocked in parent and child."""
    child = program(
        FAMILY
        + """
    lastout.handle_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGUSR1])
    pid = os.fork()
    say(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))
    pid and status_of(pid)
    """
    )
    end = child.end(seconds=20)
    assert (end.status, end.err) == (0, "")
    assert child.lines == [str(sorted([int(signal.SIGHUP), int(signal.SIGUSR1)]))] * 2


def test_restore_in_a_child_leaves_the_parent_s(program: Start) -> None:
    """A child that undoes signal handling does so for itself only."""
    child = program(
        FAMILY
        + """
    lastout.register(say, "parent")
    handling = lastout.handle_signals()
    pid = os.fork()
    if not pid:
        lastout.register(say, "never")
        handling.restore()
        os.kill(os.getpid(), signal.SIGTERM)
        wait()
    say("status", status_of(pid))
    os.kill(os.getpid(), signal.SIGTERM)
    wait()
    """
    )
    end = child.end(seconds=20)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    lines = [line for line in child.lines if not line.startswith("ready")]
    assert lines == ["status -15", "parent"]


def test_forks_leak_nothing(program: Start) -> None:
    """A child of a child of a child has as many descriptors and threads as the first process."""
    child = program(
        FAMILY
        + """
    lastout.handle_signals()
    def look():
        say(len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")))
    look()
    for _ in range(5):
        pid = os.fork()
        if pid:
            sys.exit(status_of(pid))
        look()
    """
    )
    end = child.end(seconds=20)
    assert (end.status, end.err) == (0, "")
    assert len(child.lines) == 6
    assert len(set(child.lines)) == 1, child.lines


# What each worker of a pool does first: five handlers, the last of which takes its time.
