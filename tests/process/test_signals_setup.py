"""Setting up and undoing signal handling: bad input, other handlers, asyncio, restoring."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

import lastout
from support.scripts import WAITING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from support import Program

    Start = Callable[..., Program]


BAD = {
    0: lastout.UsageError,
    -1: lastout.UsageError,
    9999: lastout.UsageError,
    2**70: lastout.UsageError,
    signal.SIGKILL: lastout.UsageError,
    signal.SIGSTOP: lastout.UsageError,
    signal.SIGSEGV: lastout.UsageError,
    "x": lastout.UsageError,
    "default_int_handler": lastout.UsageError,
    "SIGNONE": lastout.UsageError,
    15.0: TypeError,
    None: TypeError,
    (signal.SIGTERM,): TypeError,
}


def state() -> tuple[object, ...]:
    """What `handle_signals` could have changed in this process."""
    owner = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(owner, warn_on_full_buffer=False)
    handlers = {n: signal.getsignal(n) for n in signal.valid_signals()}
    return handlers, owner, threading.active_count()


@pytest.mark.parametrize("signum", BAD, ids=str)
def test_uncallable_signal_changes_nothing(signum: Any) -> None:
    """What is no signal that can be handled is refused, before the good ones are touched."""
    before = state()
    with pytest.raises(BAD[signum]) as caught:
        lastout.handle_signals(signal.SIGTERM, signum, signal.SIGHUP)
    assert str(getattr(signum, "name", signum)) in str(caught.value)
    assert state() == before


def test_not_on_the_main_thread() -> None:
    """A thread that is not the main one is told so, and nothing is changed."""
    before = state()
    errors: list[Exception] = []

    def call() -> None:
        try:
            lastout.handle_signals()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    [error] = errors
    assert isinstance(error, lastout.UsageError)
    assert "main thread" in str(error)
    assert state() == before


def test_restore_not_on_the_main_thread() -> None:
    """Neither can another thread undo it; the main thread still can."""
    before = state()
    handling = lastout.handle_signals()
    errors: list[Exception] = []

    def call() -> None:
        try:
            handling.restore()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert [type(error) for error in errors] == [lastout.UsageError]
    handling.restore()
    assert state() == before


@pytest.mark.unmeasured(reason="coverage.py cannot be loaded in one of 3.11")
def test_not_in_a_subinterpreter(program: Start) -> None:
    """A subinterpreter is told that only the main one can handle signals."""
    child = program(
        '''
        import sys, textwrap
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
        else:
            import _xxsubinterpreters as interpreters
        text = """
            import lastout
            from say import say
            try:
                lastout.handle_signals()
            except lastout.UsageError as error:
                say("main interpreter" in str(error))
        """
        sub = interpreters.create()
        failure = interpreters.run_string(sub, f"import sys; sys.path[:] = {sys.path!r}")
        assert failure is None, failure
        failure = interpreters.run_string(sub, textwrap.dedent(text))
        assert failure is None, failure
        interpreters.destroy(sub)
        '''
    )
    end = child.end()
    assert (end.status, end.err, child.lines) == (0, "", ["True"])


def _mine(signum: int, frame: object) -> None:
    raise AssertionError("no signal was sent")


PREVIOUS = {"default": signal.SIG_DFL, "ignored": signal.SIG_IGN, "a function": _mine}


@pytest.mark.parametrize("previous", PREVIOUS.values(), ids=PREVIOUS)
@pytest.mark.parametrize("raising", [False, True])
def test_context_manager_restores_everything(previous: Any, raising: bool) -> None:
    """After the block the handlers, the wakeup descriptor and the threads are as before it."""
    kept = {n: signal.signal(n, previous) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)}
    try:
        before = state()
        with lastout.handle_signals(signal.SIGTERM, signal.SIGUSR1, raise_in_main=raising):
            pass
        assert state() == before
    finally:
        for signum, handler in kept.items():
            signal.signal(signum, handler)


def test_restore_twice_is_restore_once() -> None:
    """A second `restore` does not undo what was set up since."""
    before = state()
    first = lastout.handle_signals()
    first.restore()
    second = lastout.handle_signals()
    during = state()
    first.restore()
    assert state() == during
    second.restore()
    assert state() == before


def test_restore_leaves_a_handler_that_was_set_since() -> None:
    """What the program has put there meanwhile is not taken away from it."""
    kept = signal.getsignal(signal.SIGUSR1)
    try:
        with lastout.handle_signals(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, _mine)
        assert signal.getsignal(signal.SIGUSR1) is _mine
    finally:
        signal.signal(signal.SIGUSR1, kept)


def test_restore_leaves_nothing_behind_in_a_hundred_rounds(program: Start) -> None:
    """Set up and undone over and over, no thread and no descriptor stays."""
    child = program(
        WAITING
        + """
    def count():
        # A thread that has run to its end is there for a moment more.
        until = time.monotonic() + 10
        while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < until:
            os.sched_yield()
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    lastout.handle_signals().restore()
    before = count()
    for _ in range(100):
        lastout.handle_signals().restore()
    assert count() == before, (before, count())
    """
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")


@pytest.mark.parametrize("setting", ["", "raise_in_main=True"])
def test_a_signal_in_the_last_moment_of_the_block_is_obeyed(program: Start, setting: str) -> None:
    """One that came before the block ended runs the handlers and ends the process, as ever."""
    child = program(
        WAITING
        + f"""
    lastout.register(say, "handler")
    with lastout.handle_signals({setting}):
        os.kill(os.getpid(), signal.SIGTERM)
    say("went on")
    """
    )
    end = child.end()
    assert (end.status, end.err, child.lines) == (-signal.SIGTERM, "", ["handler"])


def test_signals_around_the_end_of_the_block_are_not_swallowed(program: Start) -> None:
    """Whether it comes just before the block ends or just after, a SIGTERM ends the process."""
    child = program(
        WAITING
        + """
    def worker(microseconds):
        with lastout.handle_signals():
            threading.Thread(target=kill_soon, args=[microseconds], daemon=True).start()
            until = time.monotonic() + 0.002
            while time.monotonic() < until:
                pass
        signal.pause()  # the kernel's own way to end it, if it came later

    def kill_soon(microseconds):
        until = time.monotonic() + microseconds / 1e6
        while time.monotonic() < until:
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    import multiprocessing
    fork = multiprocessing.get_context("fork")
    statuses = []
    for step in range(40):
        child = fork.Process(target=worker, args=[step * 100])
        child.start()
        child.join(20)
        statuses.append(child.exitcode)
        child.kill()
    say(set(statuses))
    """
    )
    end = child.end(seconds=100)
    assert (end.status, child.lines) == (0, ["{-15}"]), end.err


def test_after_restore_the_signal_kills_as_it_did(program: Start) -> None:
    """When handling is over a SIGTERM kills without running the handlers."""
    child = program(
        WAITING
        + """
    lastout.register(say, "never")
    with lastout.handle_signals():
        pass
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end().status == -signal.SIGTERM
    assert child.lines == ["ready"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("where", ["inside", "between"])
def test_inner_handling_leaves_the_outer_one_as_it_was(
    program: Start, signum: int, where: str
) -> None:
    """Inner handling adds signals and, when it ends, leaves the outer one as it was."""
    child = program(
        WAITING
        + """
    lastout.register(say, "handler")
    with lastout.handle_signals(signal.SIGTERM):
        with lastout.handle_signals(signal.SIGTERM, signal.SIGUSR1):
            sys.argv[1] == "inside" and wait()
        wait()
    """,
        args=[where],
    )
    child.wait_for("ready")
    child.signal(signum)
    end = child.end()
    handled = where == "inside" or signum == signal.SIGTERM
    assert (end.status, end.err) == (-signum, "")
    assert child.lines == ["ready", "handler"] if handled else ["ready"]


def test_a_forked_child_may_choose_another_way(program: Start) -> None:
    """A child that calls `handle_signals` again is watched, though its parent raises in main."""
    child = program(
        """
        import os, signal, threading
        import lastout
        from say import say

        outer = lastout.handle_signals(raise_in_main=True)
        pid = os.fork()
        if not pid:
            lastout.handle_signals()
            lastout.register(lambda: say(threading.current_thread() is threading.main_thread()))
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(60)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        with lastout.handle_signals():
            pass
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(60)
        except SystemExit as error:
            say("raised", error.code)
        """
    )
    assert child.end().status == -signal.SIGTERM
    assert child.lines == ["False", "-15", "raised 143"]
