"""Parent: a process ends with the one above it, whatever that is and however it ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout._exits import parent
from lastout._platform import pids
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

# Something that ends with its parent, and that nobody talks to.
SERVER = """
    import os, sys, threading
    import lastout
    from say import say

    lastout.handle_signals()
    lastout.register(say, "ended")
    say(lastout.end_with_parent(*map(int, sys.argv[1:])))
    say("ready")
    threading.Event().wait()
"""
# Starts it by a shell; `$PYTHON server.py` is it.
CLIENT = """
    import os, subprocess, sys, threading
    os.environ["PYTHON"] = sys.executable
    shell = subprocess.Popen(["sh", "-c", sys.argv[1]])
    threading.Event().wait()
"""


def client(program: Start, command: str) -> Program:
    """A program that runs a shell's command, and waits."""
    return program(CLIENT, args=[command], modules={"server": SERVER})


def wait_for(child: Program, line: str) -> None:
    """Until one of its processes says so, whether the program itself has ended or not."""
    assert eventually(lambda: line in child.lines), child.lines


def test_a_client_is_killed(program: Start) -> None:
    """A server under any program that is killed runs its handlers and is gone."""
    child = client(program, "exec $PYTHON server.py")
    child.wait_for("ready")
    child.kill()
    child.end()
    wait_for(child, "ended")
    assert child.lines == ["True", "ready", "ended"]


def test_a_shell_is_killed(program: Start) -> None:
    """The parent may be no Python: it ends with the shell that runs it in the background."""
    child = client(
        program, "$PYTHON server.py & while ! grep -q ready said; do :; done; kill -9 $$"
    )
    wait_for(child, "ended")
    assert child.running
    child.kill()


def test_one_above_the_parent(program: Start) -> None:
    """With its pid given, it ends with one above its parent, which itself lives on."""
    child = client(program, "$PYTHON server.py $PPID & wait; :")
    child.wait_for("ready")
    child.kill()
    child.end()
    wait_for(child, "ended")


def test_a_parent_that_ended_before(program: Start) -> None:
    """One that had ended before the call is noticed at once, where its pid is given."""
    child = client(program, "true & wait; $PYTHON server.py $!")
    wait_for(child, "ended")
    child.kill()


def test_one_that_is_not_above(program: Start) -> None:
    """A living process that has the pid, and is not above this one, is not waited for."""
    child = client(program, "sleep 60 & $PYTHON server.py $!; kill $!")
    wait_for(child, "ended")
    child.kill()


def test_a_thread_is_no_parent(program: Start) -> None:
    """It goes on when the thread of its parent ends that started it."""
    child = program(
        """
        import os, subprocess, sys, threading
        from say import say

        def run():
            subprocess.Popen([sys.executable, "server.py"])

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        input()
        """,
        modules={"server": SERVER},
    )
    child.wait_for("ready")
    # Whatever came by the thread's end has come: it ended before the server began.
    assert child.lines == ["True", "ready"]
    child.tell("end")
    child.end()
    wait_for(child, "ended")


def test_twice_is_once(program: Start) -> None:
    """Who asks twice, by a pool's worker too, is sent one signal: a second would kill at once."""
    child = program(
        """
        import multiprocessing, threading
        import lastout
        from lastout.integrations.pools import worker
        from say import say

        def slow():
            threading.Event().wait(1)
            say("ended")

        def work():
            worker()()
            lastout.register(slow)
            lastout.end_with_parent()
            lastout.end_with_parent()
            say("ready")
            threading.Event().wait()

        if __name__ == "__main__":
            multiprocessing.get_context("fork").Process(target=work).start()
            threading.Event().wait()
        """
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    wait_for(child, "ended")


def test_a_forked_child_asks_for_itself(program: Start) -> None:
    """A forked child has nobody who waits, for its parent's parent either, until it calls."""
    child = program(
        """
        import os, threading
        import lastout
        from say import say

        lastout.handle_signals()
        above = os.getpid()
        if not os.fork():
            lastout.end_with_parent(above)
            if not os.fork():
                lastout.register(say, "ended")
                lastout.end_with_parent(above)
                say("ready")
        threading.Event().wait()
        """
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    wait_for(child, "ended")


def test_it_keeps_nobody_alive(program: Start) -> None:
    """A program that returns ends, its parent or not."""
    child = program("import lastout; lastout.end_with_parent()")
    assert child.end().status == 0


def test_blocked_signals_stay_blocked(program: Start) -> None:
    """The thread that waits takes no signal that the main thread has blocked."""
    child = program(
        """
        import os, signal
        import lastout
        from say import say

        lastout.end_with_parent()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGUSR1)
            say(signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1)
        """
    )
    assert child.end().status == 0
    assert child.lines == ["True"] * 100


@pytest.mark.parametrize("above", [0, 1])
def test_nobody_to_end_with(above: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 1 outlives all, and one outside of the container cannot be seen."""
    monkeypatch.setattr(os, "getppid", lambda: above)
    assert not lastout.end_with_parent()


@pytest.mark.parametrize("wrong", ["1", 1.5, True])
def test_a_parent_that_is_no_pid_is_refused(wrong: object) -> None:
    """What is no pid is refused."""
    with pytest.raises(TypeError, match="pid"):
        lastout.end_with_parent(wrong)


def test_without_pidfds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes cannot be held it says so, and what to do."""
    monkeypatch.setattr(pids, "has_pidfds", lambda: False)
    with pytest.raises(lastout.UsageError, match="getppid"):
        lastout.end_with_parent()


def test_a_number_that_was_handed_out_again() -> None:
    """A process that has the pid, and is not the one that is meant, is not waited for."""
    parent.wait_until_dead(os.getpid(), lambda: False)


def test_in_the_children_of_a_fork_server(program: Start) -> None:
    """A module that a fork server imports asks for the children of the server."""
    child = program(
        """
        import multiprocessing
        from say import say

        def work():
            from lastout._exits import parent
            say(len(parent._awaited))

        if __name__ == "__main__":
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["early"])
            child = context.Process(target=work)
            child.start()
            child.join()
        """,
        modules={"early": "import lastout\nlastout.end_with_parent()\n"},
    )
    assert child.end().status == 0
    assert child.lines == ["1"]
