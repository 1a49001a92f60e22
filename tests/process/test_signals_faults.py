"""Signals where something is missing: a thread, a stream, time, or a handler to put back."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import signal
import threading
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout._exits import signal_handler, signal_thread
from lastout._exits.signal_thread import SignalThread
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

REAL_TIME = signal.SIGRTMIN + 1


def test_one_that_could_not_be_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that C code handles is refused, by its number if it has no name."""
    with monkeypatch.context() as patch:
        patch.setattr(_signal, "getsignal", lambda _: None)
        with pytest.raises(lastout.UsageError, match=f"signal {REAL_TIME} has a handler"):
            lastout.handle_signals(REAL_TIME)


def test_one_that_nobody_handles_any_more() -> None:
    """A signal that arrives just after it was given back does nothing."""
    signal_handler.SignalHandler()(signal.SIGUSR1, None)


def test_a_child_without_a_thread(program: Start) -> None:
    """A forked child that could not start a thread when it began runs its handlers all the same."""
    child = program(
        """
        import _thread, os, signal
        import lastout
        from say import say

        def refuse(*_):
            raise RuntimeError("can't start new thread")

        lastout.handle_signals()
        start, _thread.start_new_thread = _thread.start_new_thread, refuse
        pid = os.fork()
        if not pid:
            _thread.start_new_thread = start
            lastout.register(say, "handler")
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        _thread.start_new_thread = start
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    ended = child.end()
    assert ended.status == 0
    assert child.lines == ["handler", str(-signal.SIGTERM)]
    assert "can't start new thread" in ended.err


def test_handled_in_the_moment_of_a_fork(program: Start) -> None:
    """A child handles signals itself, though its parent began to after lastout saw the fork."""
    child = program(
        """
        import os, signal
        from say import say

        # Hooks before a fork run in reverse order: this one after those of lastout.
        os.register_at_fork(before=lambda: lastout.handle_signals())
        import lastout

        pid = os.fork()
        if not pid:
            lastout.register(say, "child")
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert child.end().status == 0
    assert child.lines == ["child", str(-signal.SIGTERM)]


@pytest.mark.parametrize("stream", ["None", "open(os.devnull)"])
def test_a_stream_that_cannot_be_flushed(program: Start, stream: str) -> None:
    """Without a standard output the process dies of the signal all the same."""
    child = program(
        f"""
        import os, signal, sys
        import lastout
        from say import say

        lastout.handle_signals()
        lastout.register(say, "handler")
        sys.stdout = {stream}
        if sys.stdout:
            sys.stdout.close()
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
        """
    )
    assert child.end() == (-signal.SIGTERM, "", "")
    assert child.lines == ["handler"]


def test_handlers_that_outlast_the_program(program: Start) -> None:
    """A program that ends while a signal is obeyed dies of that, when it has waited enough."""
    child = program(
        """
        import os, signal, threading
        import lastout
        from lastout._exits import signal_end, signal_handler
        from say import say

        signal_end.MAIN_WAITS = 0.1
        begun = threading.Event()

        @lastout.register
        def hangs():
            begun.set()
            threading.Event().wait()

        lastout.handle_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        begun.wait()
        signal_handler.at_end()
        """
    )
    assert child.end().status == -signal.SIGTERM


def test_the_end_on_another_thread(program: Start) -> None:
    """What ends on another thread than the main one leaves the handlers of signals as they are."""
    child = program(
        """
        import signal, threading
        import lastout
        from lastout._exits import registry
        from say import say

        lastout.handle_signals()
        ours = signal.getsignal(signal.SIGTERM)
        lastout.register(say, "handler")
        thread = threading.Thread(target=registry.end)
        thread.start()
        thread.join()
        say(signal.getsignal(signal.SIGTERM) is ours)
        """
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["handler", "True"]


def test_a_watcher_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher that cannot have a thread says so, and leaves no pipe."""

    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", refuse)
        with pytest.raises(RuntimeError, match="thread"):
            SignalThread(print)


def test_more_signals_than_the_pipe_holds() -> None:
    """When there is no room for another signal, there is enough to wake up for."""
    free, obeyed = threading.Event(), list[int]()

    def obey(signum: int) -> None:
        free.wait(30)
        obeyed.append(signum)

    watch = SignalThread(obey)
    for _ in range(100_000):
        watch.wake(1)
    free.set()
    assert eventually(lambda: len(obeyed) >= 4096, 30)
    assert watch.finish(30)
    watch.stop()


def test_a_watcher_that_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that still obeys when it is to stop keeps its pipe: its thread reads from it."""
    monkeypatch.setattr(signal_thread, "_JOIN_SECONDS", 0.01)
    begun, free = threading.Event(), threading.Event()

    def obey(_: int) -> None:
        begun.set()
        free.wait(30)

    watch = SignalThread(obey)
    watch.wake(1)
    assert begun.wait(30)
    watch.stop()
    free.set()
    assert watch._ended.acquire(timeout=30)
    watch._close()
