"""Signals of others: handlers that were there before ours, ignored signals, asyncio's loop."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from support.scripts import WAITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


@pytest.mark.parametrize("when", ["in a call", "at its end"])
def test_previous_handler_that_ends_the_process(program: Start, when: str) -> None:
    """A previous handler that runs the finalizers of multiprocessing, as pebble's, can end it."""
    child = program(
        WAITING
        + f"""
    import multiprocessing.util
    def previous(signum, frame):
        multiprocessing.util._exit_function()
        say("previous")
        os._exit(7)
    signal.signal(signal.SIGTERM, previous)
    lastout.register(say, "handler")
    lastout.handle_signals()
    if {when == "in a call"}:
        wait()
    say("ready")
    lastout.register(os.kill, os.getpid(), signal.SIGTERM)
    multiprocessing.util._exit_function()
    """
    )
    child.wait_for("ready")
    if when == "in a call":
        child.signal(signal.SIGTERM)
    end = child.end(seconds=5)
    assert (end.status, end.err) == (7, "")
    assert child.lines == ["ready", "handler", "previous"]


def test_ignored_signal_stays_ignored(program: Start) -> None:
    """A process started under `nohup` ignores SIGHUP, and goes on doing so."""
    child = program(
        WAITING
        + """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    lastout.register(say, "handler")
    lastout.handle_signals()
    say("ready")
    say(input())
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGHUP)
    child.tell("still here")
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["ready", "still here", "handler"]


LOOP = """
    async def main():
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        {before}
        loop.add_signal_handler(signal.SIGUSR1, woken.set)
        {after}
        say("listening")
        await woken.wait()
        say("woken")
        {then}
        say("ready")
        await asyncio.sleep(60)
"""


@pytest.mark.parametrize("when", ["outside", "before", "after"])
def test_running_loop_keeps_its_signals(program: Start, when: str) -> None:
    """A running asyncio loop gets its own signals, and ours end the process, whoever was first."""
    call = "lastout.handle_signals()"
    loop = LOOP.format(
        before=call if when == "before" else "", after=call if when == "after" else "", then=""
    )
    child = program(
        WAITING
        + f"""
    lastout.register(say, "handler")
    {call if when == "outside" else ""}
    {loop}
    asyncio.run(main())
    """
    )
    child.wait_for("listening")
    child.signal(signal.SIGUSR1)
    child.wait_for("ready", seconds=10)
    child.signal(signal.SIGTERM)
    end = child.end(seconds=10)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert child.lines == ["listening", "woken", "ready", "handler"]


def test_restoring_leaves_the_loop_its_wakeup_descriptor(program: Start) -> None:
    """Undone inside a running loop, the loop still hears its signals."""
    loop = LOOP.format(
        before="handling = lastout.handle_signals()", after="handling.restore()", then="return"
    )
    child = program(
        WAITING
        + f"""
    {loop}
    asyncio.run(main())
    """
    )
    child.wait_for("listening")
    child.signal(signal.SIGUSR1)
    end = child.end(seconds=10)
    assert (end.status, end.err, child.lines) == (0, "", ["listening", "woken"])


@pytest.mark.parametrize("when", ["outside", "after"])
def test_signal_after_the_loop_has_gone(program: Start, when: str) -> None:
    """A loop that ends takes the wakeup descriptor with it; signals are obeyed all the same."""
    call = "lastout.handle_signals()"
    loop = LOOP.format(before="", after=call if when == "after" else "", then="return")
    child = program(
        WAITING
        + f"""
    lastout.register(say, "handler")
    {call if when == "outside" else ""}
    {loop}
    asyncio.run(main())
    wait()
    """
    )
    child.wait_for("listening")
    child.signal(signal.SIGUSR1)
    child.wait_for("ready", seconds=10)
    child.signal(signal.SIGTERM)
    end = child.end(seconds=10)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert child.lines == ["listening", "woken", "ready", "handler"]


def test_signal_that_a_loop_has_taken(program: Start) -> None:
    """A signal that a loop takes is the loop's; after it, another call takes it again."""
    child = program(
        WAITING
        + """
    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        say("listening")
        await stop.wait()
        say("stopped")
    lastout.register(say, "handler")
    lastout.handle_signals()
    asyncio.run(main())
    with lastout.handle_signals() as handling:
        say(handling.signals == (signal.SIGTERM,))
    say(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("listening")
    child.signal(signal.SIGTERM)
    child.wait_for("ready", seconds=10)
    child.signal(signal.SIGTERM)
    end = child.end(seconds=10)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert child.lines == ["listening", "stopped", "True", "True", "ready", "handler"]


def test_interrupt_of_a_loop_is_asyncio_s(program: Start) -> None:
    """Ctrl-C still cancels the main task, as asyncio does it, and the handlers run at the end."""
    child = program(
        WAITING
        + """
    async def main():
        say("ready")
        try:
            while True:  # Python sees a signal that came just before it waits only afterwards
                await asyncio.sleep(0.1)
        finally:
            say("cancelled")
    lastout.register(say, "handler")
    lastout.handle_signals()
    asyncio.run(main())
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGINT)
    assert child.end(seconds=10).status == -signal.SIGINT
    assert child.lines == ["ready", "cancelled", "handler"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_another_s_wakeup_descriptor_is_not_taken(program: Start) -> None:
    """A wakeup descriptor that somebody else has set still gets its bytes, and stays theirs."""
    child = program(
        WAITING
        + """
    import socket
    mine, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.signal(signal.SIGUSR1, lambda signum, frame: None)
    signal.set_wakeup_fd(theirs.fileno())
    with lastout.handle_signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        say(mine.recv(1)[0] == signal.SIGUSR1)
    say(signal.set_wakeup_fd(-1) == theirs.fileno())
    """
    )
    end = child.end(seconds=10)
    assert (end.status, end.err, child.lines) == (0, "", ["True", "True"])
