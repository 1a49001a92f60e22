"""A good guest: signals that the program handles itself, has blocked, or ends by in its own way."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from support.scripts import WAITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


@pytest.mark.parametrize("raising", [False, True])
def test_a_handler_that_was_there_before_decides(program: Start, raising: bool) -> None:
    """A server's own handler is called first; exit handlers run when it has drained and ends."""
    child = program(
        WAITING
        + f"""
    drained = threading.Event()
    def previous(signum, frame):
        say("previous", signum, hasattr(frame, "f_code"), threading.current_thread().name)
        drained.set()
    signal.signal(signal.SIGTERM, previous)
    lastout.register(say, "handler")
    lastout.handle_signals(raise_in_main={raising})
    say("ready")
    drained.wait(30)
    say("drained")
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end() == (0, "", "")
    assert child.lines == ["ready", "previous 15 True MainThread", "drained", "handler"]


def test_every_signal_reaches_the_handler_that_was_there_before(program: Start) -> None:
    """A server that ends at once when it is told twice does so."""
    child = program(
        WAITING
        + """
    told = []
    def previous(signum, frame):
        told.append(signum)
        say("told", len(told))
        if len(told) == 2:
            sys.exit(3)
    signal.signal(signal.SIGTERM, previous)
    lastout.register(say, "handler")
    lastout.handle_signals()
    say("ready")
    while True:
        time.sleep(0.01)
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    child.wait_for("told 1")
    child.signal(signal.SIGTERM)
    assert child.end() == (3, "", "")
    assert child.lines == ["ready", "told 1", "told 2", "handler"]


@pytest.mark.parametrize("end", ["", "lastout.unwind()\n    while True: time.sleep(0.01)"])
def test_a_handler_that_was_there_before_cuts_nothing_off(program: Start, end: str) -> None:
    """One that ends the process at once, as pebble's, is called when the exit handlers have run."""
    child = program(
        WAITING
        + f"""
    signal.signal(signal.SIGTERM, lambda *_: (say("previous"), os._exit(7)))
    lastout.handle_signals()
    lastout.register(say, "last")
    @lastout.register
    def first():
        os.kill(os.getpid(), signal.SIGTERM)
        say("first")
    {end}
    """
    )
    assert child.end(seconds=20) == (7, "", "")
    assert child.lines == ["first", "last", "previous"]


def test_a_handler_that_was_there_before_and_raises(program: Start) -> None:
    """What it raises comes out in the main thread, as without lastout."""
    child = program(
        WAITING
        + """
    def previous(signum, frame):
        raise ValueError("previous")
    signal.signal(signal.SIGTERM, previous)
    lastout.register(say, "handler")
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end()
    assert (end.status, child.lines) == (1, ["ready", "handler"])
    assert end.err.rstrip().endswith("ValueError: previous")


def test_the_grace_of_a_handler_that_was_there_before(program: Start) -> None:
    """A handler that does not end the process has its grace; then lastout ends it."""
    child = program(
        WAITING
        + """
    signal.signal(signal.SIGTERM, lambda *_: say("ignored"))
    lastout.register(say, "handler")
    lastout.handle_signals(grace=0.2)
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20) == (-signal.SIGTERM, "", "")
    assert child.lines == ["ready", "ignored", "handler"]


@pytest.mark.parametrize("where", ["in the handler", "after it"])
def test_the_signal_is_sent_again_with_its_default_action(program: Start, where: str) -> None:
    """Who ends in order, restores the default action and raises the signal again, as uvicorn."""
    child = program(
        WAITING
        + f"""
    def again():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        say("in order")
        signal.raise_signal(signal.SIGTERM)
    stop = threading.Event()
    signal.signal(
        signal.SIGTERM, lambda *_: {"again()" if where == "in the handler" else "stop.set()"}
    )
    lastout.register(say, "handler")
    lastout.handle_signals()
    say("ready")
    stop.wait(30)
    again()
    threading.Event().wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20) == (-signal.SIGTERM, "", "")
    assert child.lines == ["ready", "in order", "handler"]


@pytest.mark.parametrize("signum", ["SIGHUP", "SIGTERM"])
def test_a_handler_that_is_set_later_is_alone(program: Start, signum: str) -> None:
    """A program that takes a signal for itself, to reload, goes on, and its handlers do not run."""
    child = program(
        WAITING
        + f"""
    lastout.register(say, "handler")
    lastout.handle_signals()
    reloaded = threading.Event()
    signal.signal(signal.{signum}, lambda *_: reloaded.set())
    say("ready")
    reloaded.wait(30)
    say("reloaded")
    """
    )
    child.wait_for("ready")
    child.signal(getattr(signal, signum))
    assert child.end() == (0, "", "")
    assert child.lines == ["ready", "reloaded", "handler"]


def test_a_blocked_signal_stays_blocked(program: Start) -> None:
    """A SIGTERM that the main thread has blocked waits for its section, and `sigwait` gets one."""
    child = program(
        WAITING
        + """
    lastout.register(say, "handler")
    lastout.handler(timeout=9, args=("with a limit",))(say)  # 3.12 starts its thread now
    lastout.handle_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    say("ready")
    say("waited for", signal.sigwait({signal.SIGUSR1}).name)
    while signal.SIGTERM not in signal.sigpending():
        time.sleep(0.01)
    say("section done")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Event().wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    child.signal(signal.SIGUSR1)
    assert child.end(seconds=20) == (-signal.SIGTERM, "", "")
    said = ["ready", "waited for SIGUSR1", "section done", "with a limit", "handler"]
    assert child.lines == said


def test_what_a_handler_starts_has_no_signal_blocked(program: Start) -> None:
    """A program that an exit handler starts can be ended."""
    child = program(
        WAITING
        + """
    import subprocess
    show = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    lastout.register(subprocess.run, [sys.executable, "-c", show])
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20) == (-signal.SIGTERM, "[]\n", "")


@pytest.mark.parametrize("raising", [False, True])
def test_a_signal_is_an_end_like_any_other(program: Start, raising: bool) -> None:
    """What others registered with `atexit`, before and after us, runs once, in the usual order."""
    child = program(
        WAITING
        + f"""
    import atexit, tempfile
    atexit.register(say, "before")
    lastout.register(say, "handler")
    directory = tempfile.TemporaryDirectory()
    lastout.handle_signals(raise_in_main={raising})
    atexit.register(say, "after")
    say(directory.name)
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end(seconds=20)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert not os.path.exists(child.lines[0])
    assert child.lines[1:] == ["ready", "after", "handler", "before"]


@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
@pytest.mark.parametrize("when", ["before the fork", "in the child"])
def test_a_parent_s_exit_functions_are_its_own(program: Start, how: str, when: str) -> None:
    """A forked child that a signal ends runs nothing of what its parent gave to `atexit`."""
    child = program(
        f"""
        import atexit, multiprocessing, os, signal
        from say import say

        def work():
            import lastout
            lastout.handle_signals()
            lastout.register(say, "child's")
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

        atexit.register(say, "parent's", os.getpid())
        if {when == "before the fork"}:
            import lastout
            lastout.handle_signals()
        if {how == "os.fork"}:
            pid = os.fork()
            if not pid:
                work()
            os.waitpid(pid, 0)
        else:
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
        say("parent", os.getpid())
        """,
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert child.end(seconds=20) == (0, "", "")
    assert child.lines == ["child's", f"parent {child.pid}", f"parent's {child.pid}"]


def test_the_main_thread_ends_meanwhile(program: Start) -> None:
    """A program that comes to its end while a signal ends it: everything runs once."""
    child = program(
        WAITING
        + """
    import atexit
    atexit.register(say, "before")
    begun, go_on = threading.Event(), threading.Event()
    @atexit.register
    def slow():
        begun.set()
        go_on.wait(0.3)  # it is not set: the main thread has come to its end by then
        say("slow")
    lastout.register(say, "handler")
    lastout.handle_signals()
    say("ready")
    begun.wait(30)
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20) == (-signal.SIGTERM, "", "")
    assert child.lines == ["ready", "handler", "slow", "before"]


def test_an_exit_function_of_others_that_hangs(program: Start) -> None:
    """It keeps neither our handlers from running nor the process from ending."""
    child = program(
        WAITING
        + """
    import atexit
    from lastout._exits import signal_end
    signal_end._OTHERS_SECONDS = 0.2
    lastout.register(say, "handler")
    atexit.register(threading.Event().wait)
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20).status == -signal.SIGTERM
    assert child.lines == ["ready", "handler"]


def test_multiprocessing_cleans_up_after_itself(program: Start) -> None:
    """A signal ends daemonic children, and leaves none of the package's own directories."""
    child = program(
        WAITING
        + """
    import multiprocessing
    from multiprocessing import util
    def sleep(ready):
        ready.set()
        time.sleep(60)
    fork = multiprocessing.get_context("fork")
    ready = fork.Event()
    process = fork.Process(target=sleep, args=(ready,), daemon=True)
    process.start()
    ready.wait(30)
    lastout.handle_signals()
    say(process.pid)
    say(util.get_temp_dir())
    wait()
    """,
        env={"PYTHONWARNINGS": "ignore"},
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20) == (-signal.SIGTERM, "", "")
    assert not os.path.exists(f"/proc/{child.lines[0]}")
    assert not os.path.exists(child.lines[1])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("inherit", [True, False])
def test_children_handle_what_their_parent_handles(
    program: Start, method: str, inherit: bool
) -> None:
    """By every start method, unless told otherwise."""
    child = program(
        """
        import multiprocessing, sys, time
        import lastout
        from say import say

        def work(ready):
            lastout.register(say, "handler")
            ready.put(1)
            time.sleep(60)

        if __name__ == "__main__":
            lastout.handle_signals(inherit=sys.argv[2] == "True")
            context = multiprocessing.get_context(sys.argv[1])
            ready = context.SimpleQueue()
            process = context.Process(target=work, args=(ready,))
            process.start()
            ready.get()
            process.terminate()
            process.join()
            say(process.exitcode)
        """,
        args=[method, str(inherit)],
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert child.end() == (0, "", "")
    assert child.lines == [*["handler"] * inherit, "-15"]


def test_a_thread_of_ours_keeps_no_child_alive(program: Start) -> None:
    """A child that another thread than the main one forked ends when that thread returns."""
    child = program(
        WAITING
        + """
    lastout.handle_signals()
    children = []
    thread = threading.Thread(target=lambda: children.append(os.fork()))
    thread.start()
    thread.join()
    if children[0]:
        say("ended", os.waitpid(children[0], 0)[1])
    """,
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert child.end(seconds=20) == (0, "", "")
    assert child.lines == ["ended 0"]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_loop_gets_the_wakeup_descriptor(program: Start, loop: str) -> None:
    """A loop finds it free, has its own signals, and after it ours are heard in a call in C."""
    if loop == "trio" and find_spec("trio") is None:
        pytest.skip("trio is not installed")
    body = {
        "asyncio": """
    async def main():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
    asyncio.run(main())
    """,
        "trio": """
    import trio
    async def main():
        await trio.sleep(0)
    trio.run(main)
    """,
    }[loop]
    child = program(
        WAITING
        + f"""
    import ctypes
    lastout.register(say, "handler")
    lastout.handle_signals()
    {body.strip()}
    say("ready")
    ctypes.CDLL(None).poll(None, 0, 30_000)  # a call in C that a signal does not end ...
    ctypes.CDLL(None).poll(None, 0, 30_000)
    say("the call came to its end")
    """,
        env={"PYTHONWARNINGS": "error"},
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=20) == (-signal.SIGTERM, "", "")
    assert child.lines == ["ready", "handler"]


def test_another_name_of_a_signal() -> None:
    """A signal can be given by its name."""
    import lastout

    with lastout.handle_signals("SIGTERM") as handling:
        assert handling.signals == (signal.SIGTERM,)
