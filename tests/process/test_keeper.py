"""Keeper: whom it kills, and when it lets go; here on a thread, with the clock of the system."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lastout._exits.keeper import BEGIN, CALL_OFF, LimitKeeper, _LimitedProcess
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

TERM = bytes((signal.SIGTERM,))


class Kept:
    """A process with a limit: what its end of everything is."""

    def __init__(self, door: socket.socket, terms: str, with_pipe: bool = True) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        self.line, far_end = socket.socketpair()
        self.out, self.into = os.pipe()
        os.set_blocking(self.out, False)
        os.set_blocking(self.into, False)
        held = os.pidfd_open(self.process.pid)
        pipe = [self.out, self.into] if with_pipe else []
        socket.send_fds(door, [terms.encode()], [held, far_end.fileno(), *pipe])
        os.close(held)
        far_end.close()

    def is_forgotten(self) -> bool:
        """Whether the keeper has hung up."""
        self.line.settimeout(10)
        return self.line.recv(1) == b""

    def end(self) -> int:
        """Its status, for which it is killed where it lives on."""
        status = self.process.poll()
        if status is None:
            self.process.send_signal(signal.SIGINT)
            status = self.process.wait()
        self.line.close()
        os.close(self.out)
        os.close(self.into)
        return status


@pytest.fixture
def keep() -> Iterator[Callable[..., Kept]]:
    """Start processes that one keeper has, which ends with them."""
    door, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=LimitKeeper(far_end).run)
    thread.start()
    all_kept: list[Kept] = []

    def start(*args: object) -> Kept:
        all_kept.append(Kept(door, *args))  # type: ignore[arg-type]
        return all_kept[-1]

    yield start
    for kept in all_kept:
        kept.end()
    door.close()
    thread.join(10)
    assert not thread.is_alive()
    far_end.close()


def test_one_that_begins_to_end(keep: Callable[..., Kept]) -> None:
    """It is killed when its time is over, though it says once more that it ends."""
    kept = keep("0.2 15")
    kept.line.send(BEGIN)
    kept.line.send(BEGIN)
    assert kept.process.wait(10) == -signal.SIGKILL
    assert kept.is_forgotten()


def test_one_without_a_pipe(keep: Callable[..., Kept]) -> None:
    """So is one that CPython writes no signals for."""
    kept = keep("0.2 15", False)
    kept.line.send(BEGIN)
    assert kept.process.wait(10) == -signal.SIGKILL


def test_a_signal_that_nobody_reads(keep: Callable[..., Kept]) -> None:
    """It is killed for a signal of its own that stays in the pipe, and that is there still."""
    kept = keep("0.2 15 1")
    os.write(kept.into, TERM)
    assert kept.process.wait(10) == -signal.SIGKILL
    assert os.read(kept.out, 10) == TERM


def test_a_signal_that_is_read(keep: Callable[..., Kept]) -> None:
    """It is not killed for one that it reads, nor for others, which stay in the pipe."""
    kept, other = keep("0.1 15 1"), keep("0.5 15 1")
    os.write(kept.into, TERM)
    os.read(kept.out, 10)
    os.write(kept.into, b"\x0a\x0a")  # SIGUSR1
    os.write(other.into, TERM)
    assert other.process.wait(10) == -signal.SIGKILL  # by then much more time is over
    assert kept.process.poll() is None
    unread = b""

    def has_all() -> bool:
        nonlocal unread
        try:
            unread += os.read(kept.out, 10)
        except BlockingIOError:  # just being looked at
            return False
        return unread == b"\x0a\x0a"

    assert eventually(has_all)


def test_a_full_pipe(keep: Callable[..., Kept]) -> None:
    """A pipe that is full of signals stays so, whoever else writes to it."""
    kept = keep("0.2 15")
    with suppress(BlockingIOError):
        while True:
            os.write(kept.into, TERM * 4096)
    assert kept.process.wait(10) == -signal.SIGKILL


def test_one_that_calls_it_off(keep: Callable[..., Kept]) -> None:
    """It lives on, as long as it does not say again that it ends."""
    kept, other = keep("0.1 15"), keep("0.5 15")
    kept.line.send(BEGIN + CALL_OFF)
    other.line.send(BEGIN)
    assert other.process.wait(10) == -signal.SIGKILL
    assert kept.process.poll() is None
    kept.line.send(BEGIN)
    assert kept.process.wait(10) == -signal.SIGKILL


def test_one_that_hangs_up(keep: Callable[..., Kept]) -> None:
    """One that wants no limit any more, or has become another program, has none."""
    kept, other = keep("0.1 15"), keep("0.5 15")
    kept.line.send(BEGIN)
    kept.line.shutdown(socket.SHUT_WR)
    assert kept.is_forgotten()
    other.line.send(BEGIN)
    assert other.process.wait(10) == -signal.SIGKILL
    assert kept.process.poll() is None


def test_one_that_ends(keep: Callable[..., Kept]) -> None:
    """One that has ended is forgotten, and with it what the keeper had of it."""
    kept = keep("60 15")
    kept.process.kill()
    assert kept.is_forgotten()


def test_what_comes_between() -> None:
    """A pipe that others fill while it is looked at, and a process that ends, are no error."""
    process = subprocess.Popen(["true"])
    held = os.pidfd_open(process.pid)
    process.wait()
    out, into = os.pipe()
    full_out, full = os.pipe()
    os.set_blocking(full, False)
    os.write(into, TERM)
    with suppress(BlockingIOError):
        while True:
            os.write(full, TERM * 4096)
    one = _LimitedProcess(b"60 15", [held, os.dup(out), out, full])
    assert not one.look()
    assert one.kill_at is not None
    one.kill()
    one.close()
    os.close(into)
    os.close(full_out)


def test_the_process(program: Callable[..., Program]) -> None:
    """It leaves its parent, closes what it was given, and ends when nobody can come."""
    child = program(
        """
        import os, socket, sys
        from say import say

        door, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, theirs = os.pipe()
        if not os.fork():
            from lastout._exits import keeper

            os.dup2(far_end.fileno(), 0)
            keeper.main()
        os.close(theirs)
        far_end.close()
        say(os.waitstatus_to_exitcode(os.wait()[1]))
        say(len(os.read(ours, 1)))  # nobody has it open any more
        door.send(b"")
        door.close()
        """
    )
    assert child.end().status == 0
    assert child.lines == ["0", "0"]
