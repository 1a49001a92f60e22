"""Runner: one call with a time limit, on a thread that can be left behind."""

from __future__ import annotations

import _thread
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

from lastout._exits import runner
from lastout._exits.runner import call_within

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What a handler can wait for until the test is over; its thread is seen to its end."""
    before = _thread._count()
    event = threading.Event()
    yield event
    event.set()
    deadline = monotonic() + 10
    while _thread._count() > before:
        assert monotonic() < deadline, "a thread is left"
        sleep(0.001)


def test_a_call_that_ends_in_time_is_waited_for() -> None:
    """A call that ends in time is waited for to its end."""
    done: list[str] = []
    assert call_within(lambda: done.append("done"), 60) is True
    assert done == ["done"]


def test_out_of_time(stuck: threading.Event) -> None:
    """A call that overruns is left behind after its seconds, not later and not sooner."""
    finished = threading.Event()

    def handler() -> None:
        stuck.wait(30)
        finished.set()

    started = monotonic()
    assert call_within(handler, 0.2) is False
    assert 0.2 <= monotonic() - started < 10
    assert not finished.is_set()
    stuck.set()
    assert finished.wait(10), "the abandoned call goes on where nobody stops it"


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
)
def test_raises_what_the_call_raised(error: BaseException) -> None:
    """Whatever the call raises in its time comes out here, as the same object."""

    def handler() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        call_within(handler, 60)
    assert caught.value is error


def test_the_traceback_is_the_calls() -> None:
    """The traceback of an exception leads to the line that raised it."""

    def handler() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as caught:
        call_within(handler, 60)
    assert caught.traceback[-1].name == "handler"


def test_an_error_after_the_end_is_nobodys(stuck: threading.Event) -> None:
    """What an abandoned call raises later disturbs no one."""
    raised = threading.Event()

    def handler() -> None:
        stuck.wait(30)
        raised.set()
        raise ValueError("too late")

    assert call_within(handler, 0.05) is False
    stuck.set()
    assert raised.wait(10)


def test_forever_is_a_long_time() -> None:
    """Seconds beyond what the system can wait for are no error."""
    assert call_within(lambda: None, 1e300) is True


def test_no_time_at_all(stuck: threading.Event) -> None:
    """With zero seconds a call that waits is left at once."""
    assert call_within(lambda: stuck.wait(30), 0.0) is False


def test_it_is_another_thread() -> None:
    """A call with a limit runs on a thread of its own, which could be abandoned."""
    ran_on: list[int] = []
    call_within(lambda: ran_on.append(threading.get_ident()), 60)
    assert ran_on != [threading.get_ident()]


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started any more."""

    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize(("seconds", "in_time"), [(60.0, True), (0.0, False)])
def test_without_a_thread(seconds: float, in_time: bool) -> None:
    """Where no thread can be had the call runs here and now, and is only reported late."""
    ran_on: list[int] = []

    def handler() -> None:
        ran_on.append(threading.get_ident())
        sleep(0.001)

    assert call_within(handler, seconds) is in_time
    assert ran_on == [threading.get_ident()]


def test_in_a_subinterpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a subinterpreter no thread is started, which could outlive it."""
    monkeypatch.setattr(runner, "in_main_interpreter", lambda: False)
    ran_on: list[int] = []
    assert call_within(lambda: ran_on.append(threading.get_ident()), 60) is True
    assert ran_on == [threading.get_ident()]


def test_a_thread_kept_for_the_end(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Where none can be started at the end, one that was reserved runs the call."""
    monkeypatch.setattr(runner, "THREADS_START_AT_EXIT", False)
    monkeypatch.setattr(runner, "_parked", [])
    runner.reserve(1)
    runner.reserve(1)
    assert len(runner._parked) == 1
    request.getfixturevalue("no_threads")
    ran_on: list[int] = []
    assert call_within(lambda: ran_on.append(threading.get_ident()), 60) is True
    assert ran_on
    assert ran_on != [threading.get_ident()]
    assert runner._parked == []
    assert call_within(lambda: ran_on.append(threading.get_ident()), 60) is True
    assert ran_on[1:] == [threading.get_ident()]
