"""Waiting for processes that are held by a descriptor, and asking them to end."""

from __future__ import annotations

import os
import signal
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from lastout._platform import pids, process_ends

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def held() -> Iterator[dict[int, int]]:
    """Two processes that wait for a signal, and a descriptor of each."""
    found = {}
    for _ in range(2):
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            while True:
                signal.pause()
        found[pids.open_pidfd(pid)] = pid
    yield found
    for descriptor, pid in found.items():
        process_ends.send(descriptor, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(descriptor)


def test_one_end_is_enough_for_the_one_and_not_for_the_other(held: dict[int, int]) -> None:
    """The end of the first of them is told by its descriptor; the wait for all goes on."""
    first, second = held
    process_ends.send(first, signal.SIGKILL)
    assert process_ends.wait_for_an_end(held, 30) == {first}
    assert not process_ends.wait_for_ends(held, 0.01)
    process_ends.send(second, signal.SIGKILL)
    assert process_ends.wait_for_ends(held, None)
    assert all(map(process_ends.has_ended, held))


def refuse() -> bool:
    """As where a process may not be looked at."""
    raise PermissionError


def test_one_is_held_if_it_is_meant(held: dict[int, int]) -> None:
    """Only the process that was meant is held: not one that has ended, nor another one."""
    descriptor, pid = next(iter(held.items()))
    before = len(os.listdir("/proc/self/fd"))
    assert process_ends.hold_if(pid, lambda: False) is None
    with pytest.raises(PermissionError):
        process_ends.hold_if(pid, refuse)
    assert len(os.listdir("/proc/self/fd")) == before
    again = process_ends.hold_if(pid, lambda: True)
    assert again is not None
    os.close(again)
    process_ends.send(descriptor, signal.SIGKILL)
    process_ends.wait_for_ends([descriptor], None)
    assert process_ends.hold_if(pid, lambda: True) is None


def test_without_any_the_time_passes() -> None:
    """A wait for the first end of none of them lasts its time; all of none have ended."""
    began = monotonic()
    assert process_ends.wait_for_an_end([], 0.05) == set()
    assert monotonic() - began >= 0.05
    assert process_ends.wait_for_ends([], None)


def test_one_that_is_stopped_is_asked(held: dict[int, int]) -> None:
    """A stopped process hears that it is asked to end."""
    descriptor, pid = next(iter(held.items()))
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    process_ends.ask_to_end(descriptor, pid)
    assert process_ends.wait_for_ends([descriptor], 30)


def test_one_that_unwinds_is_not_asked(
    held: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends by a signal already is sent no second one."""
    descriptor, pid = next(iter(held.items()))
    sent: list[int] = []
    monkeypatch.setattr(pids, "unwinds", lambda _: True)
    monkeypatch.setattr(pids, "signal_held", lambda _, signum: sent.append(signum))
    process_ends.ask_to_end(descriptor, pid)
    assert sent == [signal.SIGCONT]
    monkeypatch.undo()
