"""Report, Outcome, Failure: what ran, how long it took and what went wrong, as values."""

from __future__ import annotations

import pickle
import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from lastout.errors import HandlerTimeout
from lastout.report import Failure, Outcome, Report

if TYPE_CHECKING:
    from collections.abc import Callable


def failure(exception: BaseException) -> Failure:
    """The failure that comes of really raising something."""
    try:
        raise exception
    except BaseException as error:
        return Failure(error)


DONE = Outcome("app.close", 0.25)
FAILED = Outcome("app.flush", 0.5, failure(KeyError("missing")))
LATE = Outcome("app.drain", 2.0, failure(HandlerTimeout("app.drain hung", handler="app.drain")))
ALL = Report([DONE, FAILED, LATE])


def test_status_of_each_end() -> None:
    """An outcome is done, failed or timed out."""
    assert [outcome.status for outcome in ALL] == ["done", "failed", "timed out"]


def test_a_handlers_own_timeout_error_is_a_failure() -> None:
    """Only lastout's HandlerTimeout is a time-out: the handler's own TimeoutError is a failure."""
    assert Outcome("x", 0.1, failure(TimeoutError("socket"))).status == "failed"


def test_report_keeps_the_order() -> None:
    """Iterating a report gives the outcomes in the order in which they ran."""
    assert list(ALL) == [DONE, FAILED, LATE]
    assert len(ALL) == 3


def test_report_sorts_by_status() -> None:
    """done, failed and timed_out each hold their own outcomes and no others."""
    assert (ALL.done, ALL.failed, ALL.timed_out) == ((DONE,), (FAILED,), (LATE,))


def test_report_adds_up_the_seconds() -> None:
    """Where no whole time is given, the seconds of a report are those of its outcomes together."""
    assert ALL.seconds == 2.75
    assert Report().seconds == 0


def test_report_has_the_whole_time() -> None:
    """A report that was given its seconds keeps them, across a process border too."""
    report = Report([DONE], 0.75)
    assert report.seconds == 0.75
    assert pickle.loads(pickle.dumps(report)).seconds == 0.75
    assert report == Report([DONE], 0.75) != Report([DONE])
    assert str(report).splitlines()[0] == "1 done in 0.750 s"


@pytest.mark.parametrize(
    ("outcomes", "ok"),
    [([], True), ([DONE], True), ([DONE, FAILED], False), ([DONE, LATE], False)],
)
def test_a_report_is_ok_when_nothing_failed_or_ran_out_of_time(
    outcomes: list[Outcome], ok: bool
) -> None:
    """A report is ok when nothing failed and nothing ran out of time."""
    assert Report(outcomes).ok is ok


def test_report_takes_any_iterable_once() -> None:
    """A report made from a generator can be read again and again."""
    report = Report(outcome for outcome in (DONE, LATE))
    assert list(report) == list(report) == [DONE, LATE]


def test_raise_failures_raises_all_of_them() -> None:
    """What went wrong is raised as one group, time-outs included."""
    with pytest.raises(BaseExceptionGroup, match="2 of 3") as caught:
        ALL.raise_failures()
    assert [type(error) for error in caught.value.exceptions] == [KeyError, HandlerTimeout]


def test_raise_failures_can_be_caught_by_kind() -> None:
    """With only ordinary exceptions in it the group is one that `except*` and Exception catch."""
    with pytest.raises(ExceptionGroup):
        Report([FAILED]).raise_failures()


def test_raise_failures_takes_system_exit() -> None:
    """A SystemExit among the failures is in the group, and does not end the program by itself."""
    with pytest.raises(BaseExceptionGroup) as caught:
        Report([Outcome("x", 0.0, failure(SystemExit(3)))]).raise_failures()
    assert isinstance(caught.value.exceptions[0], SystemExit)


def test_raise_failures_is_silent_when_all_went_well() -> None:
    """Nothing is raised where nothing failed."""
    Report([DONE]).raise_failures()
    Report().raise_failures()


def test_failure_keeps_the_traceback_as_text() -> None:
    """The text names the place where it was raised, and outlives the exception's traceback."""
    wrong = failure(ValueError("here"))
    assert "ValueError: here" in wrong.traceback
    assert "in failure" in wrong.traceback
    wrong.exception.__traceback__ = None
    assert "in failure" in wrong.traceback


def test_failure_makes_its_text_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """To make a failure loads nothing and makes no text; that is done once, when asked for it."""
    made: list[object] = []
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "traceback", None)  # it cannot be loaded
        wrong = failure(ValueError("here"))
    original: Callable[..., list[str]] = traceback.format_exception

    def make(*of: object) -> list[str]:
        made.append(of)
        return original(*of)

    monkeypatch.setattr(traceback, "format_exception", make)
    assert "in failure" in wrong.traceback == wrong.traceback
    assert len(made) == 1


def test_failure_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the module that makes it cannot be loaded any more, the exception itself is told."""
    monkeypatch.setitem(sys.modules, "traceback", None)  # as without a descriptor left
    assert (
        failure(ValueError("x")).traceback
        == "ValueError: ValueError('x') (no traceback could be made)\n"
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_report_crosses_a_process_border(protocol: int) -> None:
    """A pickled report comes back with its names, seconds, statuses and tracebacks."""
    back = pickle.loads(pickle.dumps(ALL, protocol))
    assert [(o.name, o.seconds, o.status) for o in back] == [
        (o.name, o.seconds, o.status) for o in ALL
    ]
    assert FAILED.failure is not None
    assert back.failed[0].failure.traceback == FAILED.failure.traceback
    assert back.timed_out[0].failure.exception.handler == "app.drain"


def test_values_are_equal_by_content() -> None:
    """Reports, outcomes and failures compare by what they hold, and with nothing else."""
    wrong = KeyError("missing")
    assert Outcome("a", 1.0, Failure(wrong, "tb")) == Outcome("a", 1.0, Failure(wrong, "tb"))
    assert Outcome("a", 1.0) != Outcome("a", 2.0)
    assert Report([DONE]) == Report([DONE])
    assert Report([DONE]) != Report([LATE])
    assert Report([DONE]) != [DONE]
    assert DONE != "app.close"
    assert Failure(wrong) != wrong


@pytest.mark.parametrize("value", [ALL, DONE, Failure(KeyError("x"))])
def test_values_have_no_hash(value: object) -> None:
    """They hold exceptions, which may change: none of them can be a key."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)


def test_str_is_a_table() -> None:
    """Printing a report gives the counts, then a line for each with its status and its reason."""
    first, *lines = str(ALL).splitlines()
    assert first == "1 done, 1 failed, 1 timed out in 2.750 s"
    assert next(line.split()[-1] for line in lines) == "app.close"
    assert "KeyError('missing')" in lines[1]
    assert "timed out" in lines[2]
    assert "app.drain" in lines[2]


def test_str_of_nothing() -> None:
    """An empty report says so."""
    assert "nothing to do" in str(Report())


def test_repr_names_what_ran() -> None:
    """A repr shows each name and status, for a test's message or a log."""
    assert "app.flush" in repr(ALL)
    assert "failed" in repr(ALL)
    assert "KeyError" in repr(FAILED.failure)
