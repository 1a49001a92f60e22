"""Signals: the handlers run on a watcher thread, and the process dies of the signal."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="POSIX signals")

HEAD = """
    import os, signal, sys, threading, time
    import lastout
    from say import say

    def wait():
        say("ready")
        while True:
            time.sleep(60)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_handlers_run_and_the_process_dies_of_the_signal(program: Start, signum: int) -> None:
    """SIGTERM and SIGHUP run the handlers, last in first out, and the parent sees the signal."""
    child = program(
        HEAD
        + """
    lastout.register(say, "first")
    lastout.register(say, "second")
    lastout.handle_signals()
    lastout.register(say, "third")
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signum)
    end = child.end()
    assert (end.status, end.err) == (-signum, "")
    assert child.lines == ["ready", "third", "second", "first"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGUSR1, signal.SIGQUIT, signal.SIGRTMIN])
def test_other_signals_on_demand(program: Start, signum: int) -> None:
    """Any signal that a program can handle can be asked for, and only those are touched."""
    child = program(
        HEAD
        + """
    lastout.register(say, "handler")
    lastout.handle_signals(int(sys.argv[1]))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    wait()
    """,
        args=[str(int(signum))],
    )
    child.wait_for("ready")
    child.signal(signum)
    end = child.end()
    assert (end.status, end.err) == (-signum, "")
    assert child.lines == ["ready", "handler"]


# What comes first, and the call that the main thread then sits in.
SLEEPING = {
    "sleep": ("", "time.sleep(60)"),
    "lock": ("lock = threading.Lock(); lock.acquire()", "lock.acquire()"),
    "select": ("import select", "select.select([0], [], [], 60)"),
    "read": ("", "os.read(0, 1)"),
    "input": ("", "input()"),
    "join": (
        "thread = threading.Thread(target=time.sleep, args=(60,), daemon=True); thread.start()",
        "thread.join()",
    ),
    "subprocess": ("import subprocess", "subprocess.run(['cat'])"),
    # The main thread holds the lock of the stream, which wants to be flushed.
    "print": ("ends = os.pipe(); sys.stdout = open(ends[1], 'w')", "print('x' * 10 ** 6)"),
    # No signal ends this one: the main thread never runs Python again.
    "mutex": (
        "import ctypes; take = ctypes.CDLL(None).pthread_mutex_lock; "
        "mutex = ctypes.create_string_buffer(64); take(mutex)",
        "take(mutex)",
    ),
}
RUNNING = {
    "bytecode": ("", "while True: pass"),
    # These two keep the interpreter lock for a while.
    "pow": ("", "pow(3, 5 * 10 ** 6) % 7; time.sleep(60)"),
    "regex": ("import re", "re.match('(a+)+b', 'a' * 24); time.sleep(60)"),
}


@pytest.mark.parametrize("call", [*SLEEPING, *RUNNING])
def test_main_thread_in_a_call(program: Start, call: str) -> None:
    """The handlers do not wait for a call in C that the main thread sits in."""
    first, then = (SLEEPING | RUNNING)[call]
    child = program(
        HEAD
        + f"""
    {first}
    lastout.register(say, "handler")
    lastout.handle_signals()
    say("ready")
    {then}
    """
    )
    child.wait_for("ready")
    if call in SLEEPING:
        main_thread = psutil.Process(child.pid)
        assert eventually(lambda: main_thread.status() == psutil.STATUS_SLEEPING)
    child.signal(signal.SIGTERM)
    end = child.end(seconds=30)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert child.lines == ["ready", "handler"]


def repeat_until_it_ends(child: Program, signum: int) -> None:
    """Whoever is impatient sends it again and again."""

    def ended() -> bool:
        child.signal(signum)
        return child.has_ended()

    assert eventually(ended)


@pytest.mark.parametrize("raising", [False, True])
def test_a_signal_that_is_sent_twice_is_one(program: Start, raising: bool) -> None:
    """A second SIGTERM right after the first, as schedulers send it, cuts nothing off."""
    child = program(
        HEAD
        + f"""
    lastout.register(say, "last")
    @lastout.register
    def first():
        say("begun")
        time.sleep(0.3)
        say("done")
    lastout.handle_signals(raise_in_main={raising})
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    child.wait_for("begun")
    child.signal(signal.SIGTERM)
    assert child.end().status == -signal.SIGTERM
    assert child.lines == ["ready", "begun", "done", "last"]


def test_a_later_signal_of_the_same_kind_kills_at_once(program: Start) -> None:
    """A second SIGTERM, after two seconds, ends the process without the remaining handlers."""
    child = program(
        HEAD
        + """
    from lastout._exits import signal_end
    signal_end.IMPATIENT_AFTER = 0.1
    lastout.register(say, "never")
    @lastout.register
    def stuck():
        say("stuck")
        threading.Event().wait(60)
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    child.wait_for("stuck")
    repeat_until_it_ends(child, signal.SIGTERM)
    assert child.end(seconds=10).status == -signal.SIGTERM
    assert child.lines == ["ready", "stuck"]


def test_signal_of_another_kind_does_not_cut_the_cleanup(program: Start) -> None:
    """A SIGHUP during the cleanup for a SIGTERM: every handler still runs, once."""
    child = program(
        HEAD
        + """
    lastout.register(say, "last")
    @lastout.register
    def slow():
        say("slow")
        input()
        say("over")
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    child.wait_for("slow")
    child.signal(signal.SIGHUP)
    child.tell("go")
    assert child.end().status in (-signal.SIGTERM, -signal.SIGHUP)
    assert child.lines == ["ready", "slow", "over", "last"]


@pytest.mark.parametrize("how", ["end", "unwind", "sys.exit", "exception"])
def test_signal_while_handlers_run_is_obeyed_after_them(program: Start, how: str) -> None:
    """A SIGTERM while handlers run anyway: all run once, then the process dies of it."""
    ends = {
        "end": "",
        "unwind": "lastout.unwind(); wait()",
        "sys.exit": "sys.exit(3)",
        "exception": "1 / 0",
    }
    child = program(
        HEAD
        + f"""
    lastout.register(say, "last")
    @lastout.register
    def slow():
        say("slow")
        input()
        say("over")
    lastout.handle_signals()
    {ends[how]}
    """
    )
    child.wait_for("slow")
    child.signal(signal.SIGTERM)
    child.tell("go")
    assert child.end().status == -signal.SIGTERM
    assert [line for line in child.lines if line != "ready"] == ["slow", "over", "last"]


def test_failing_handlers_do_not_stop_it(program: Start) -> None:
    """Handlers that raise anything are shown; the rest run, and the status stays the signal's."""
    child = program(
        HEAD
        + """
    def fail(error):
        raise error
    lastout.register(say, "last")
    for error in ValueError("one"), SystemExit(5), KeyboardInterrupt("two"):
        lastout.register(fail, error)
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end()
    assert (end.status, child.lines) == (-signal.SIGTERM, ["ready", "last"])
    assert "ValueError: one" in end.err
    assert "KeyboardInterrupt: two" in end.err


def test_what_was_printed_is_not_lost(program: Start) -> None:
    """Text in the buffers of the standard streams is flushed before the process dies."""
    child = program(
        HEAD
        + """
    lastout.register(print, "from the handler")
    lastout.handle_signals()
    print("before")
    wait()
    """,
        env={"PYTHONUNBUFFERED": None},
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end().out == "before\nfrom the handler\n"


def test_normal_end_is_unchanged(program: Start) -> None:
    """Without a signal the handlers run once and the exit status is the program's own."""
    child = program(
        HEAD
        + """
    lastout.register(say, "handler")
    lastout.handle_signals()
    sys.exit(3)
    """
    )
    end = child.end()
    assert (end.status, end.err, child.lines) == (3, "", ["handler"])


def test_raise_in_main_unwinds_the_program_first(program: Start) -> None:
    """With `raise_in_main` the `finally` blocks run, then the handlers, then the signal kills."""
    child = program(
        HEAD
        + """
    lastout.register(say, "handler", "of", "main")
    lastout.handle_signals(raise_in_main=True)
    try:
        wait()
    except SystemExit as leaving:
        say("code", leaving.code)
        raise
    finally:
        say("finally")
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end()
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert child.lines == ["ready", "code 143", "finally", "handler of main"]


def test_raise_in_main_a_later_signal_kills_at_once(program: Start) -> None:
    """A second SIGTERM, after two seconds of `finally` blocks, ends the process at once."""
    child = program(
        HEAD
        + """
    from lastout._exits import signal_end
    signal_end.IMPATIENT_AFTER = 0.1
    lastout.register(say, "never")
    lastout.handle_signals(raise_in_main=True)
    try:
        wait()
    finally:
        say("finally")
        time.sleep(60)
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    child.wait_for("finally")
    repeat_until_it_ends(child, signal.SIGTERM)
    assert child.end(seconds=10).status == -signal.SIGTERM
    assert child.lines == ["ready", "finally"]
