"""Signals of others: handlers that were there before ours, ignored signals, asyncio's loop."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

HEAD = """
    import asyncio, os, signal, sys, threading, time
    import lastout
    from say import say

    def wait():
        say("ready")
        while True:
            time.sleep(60)
"""


@pytest.mark.parametrize("raising", [False, True])
def test_previous_handler_is_called_once(program: Start, raising: bool) -> None:
    """A handler of the program's own is called after ours, with the signal and a frame."""
    child = program(
        HEAD
        + f"""
    def previous(signum, frame):
        say("previous", signum, frame is None or hasattr(frame, "f_code"))
    signal.signal(signal.SIGTERM, previous)
    lastout.register(say, "handler")
    lastout.handle_signals(raise_in_main={raising})
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end()
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert child.lines == ["ready", "handler", "previous 15 True"]


@pytest.mark.parametrize("what", ["SystemExit(5)", "ValueError('previous')"])
def test_previous_handler_that_raises(program: Start, what: str) -> None:
    """What a previous handler raises does not save the process from its signal."""
    child = program(
        HEAD
        + f"""
    def previous(signum, frame):
        say("previous")
        raise {what}
    signal.signal(signal.SIGTERM, previous)
    lastout.register(say, "handler")
    lastout.handle_signals()
    wait()
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end()
    assert end.status == -signal.SIGTERM
    assert child.lines == ["ready", "handler", "previous"]
    assert ("ValueError: previous" in end.err) == what.startswith("ValueError")


def test_ignored_signal_stays_ignored(program: Start) -> None:
    """A process started under `nohup` ignores SIGHUP, and goes on doing so."""
    child = program(
        HEAD
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
        HEAD
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
        HEAD
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
        HEAD
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


def test_interrupt_of_a_loop_is_asyncio_s(program: Start) -> None:
    """Ctrl-C still cancels the main task, as asyncio does it, and the handlers run at the end."""
    child = program(
        HEAD
        + """
    async def main():
        say("ready")
        try:
            await asyncio.sleep(60)
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
        HEAD
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
