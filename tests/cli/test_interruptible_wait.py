"""Patience: a signal ends the waiting, and not the process."""

from __future__ import annotations

import signal

import pytest

from lastout.cli.run.interruptible_wait import InterruptibleWait, WaitInterrupted


def test_a_signal_ends_the_wait() -> None:
    """A signal while something is waited for ends that wait, and no other."""
    with InterruptibleWait() as wait:
        with pytest.raises(WaitInterrupted), wait.limited():
            signal.raise_signal(signal.SIGTERM)
        with wait.limited():
            pass


def test_a_signal_before_the_wait() -> None:
    """A signal that came before counts for the next wait, once."""
    with InterruptibleWait() as wait:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(WaitInterrupted), wait.limited():
            pytest.fail("it was waited")
        with wait.limited():
            pass


def test_handlers_are_put_back() -> None:
    """Afterwards signals are handled as before, and what was ignored was so all the time."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InterruptibleWait() as wait, wait.limited():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
