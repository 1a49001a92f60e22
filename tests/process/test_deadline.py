"""Deadline: time left, shared out; and which seconds can be waited for."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from time import monotonic

import pytest

from lastout import deadline as module
from lastout.deadline import Deadline, check_seconds
from lastout.errors import UsageError


class Clock:
    """A monotonic clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that deadlines look at, in the test's hands."""
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def test_no_seconds_never_pass(clock: Clock) -> None:
    """A deadline of None has no end, however much time goes by."""
    deadline = Deadline(None)
    clock.now += 1e9
    assert deadline.left() is None
    assert not deadline.passed()


def test_time_left_shrinks(clock: Clock) -> None:
    """What is left is the seconds given less those that went by."""
    deadline = Deadline(10)
    clock.now += 4
    assert deadline.left() == 6
    assert not deadline.passed()


def test_left_is_never_negative(clock: Clock) -> None:
    """Long after its end a deadline has zero seconds left, which any lock can wait for."""
    deadline = Deadline(1)
    clock.now += 50
    assert deadline.left() == 0
    assert deadline.passed()


def test_its_end_is_part_of_it(clock: Clock) -> None:
    """At its very end a deadline has passed; zero seconds pass at once."""
    assert Deadline(0).passed()
    deadline = Deadline(2)
    clock.now += 2
    assert deadline.passed()


def test_real_time_passes() -> None:
    """A deadline runs on the system's monotonic clock."""
    before = monotonic()
    deadline = Deadline(60)
    left = deadline.left()
    assert left is not None
    assert 60 - (monotonic() - before) <= left <= 60


def test_share_without_an_end_is_the_own_limit(clock: Clock) -> None:
    """Where nothing ends the waiting, only the handler's own limit counts."""
    assert Deadline(None).share(True, 3.0) == 3.0
    assert Deadline(None).share(True) is None


def test_the_last_one_may_use_all(clock: Clock) -> None:
    """With nobody behind it a waiter may use everything that is left."""
    assert Deadline(8).share(False) == 8


def test_one_that_hangs_leaves_time_for_those_behind(clock: Clock) -> None:
    """However many hang one after the other, the next still has some time."""
    deadline = Deadline(8)
    for _ in range(20):
        part = deadline.share(True)
        assert part is not None
        assert part > 0
        clock.now += part
    assert not deadline.passed()


def test_unused_time_stays_for_the_others(clock: Clock) -> None:
    """A quick one takes only what it used."""
    deadline = Deadline(8)
    deadline.share(True)
    clock.now += 1
    assert deadline.share(False) == 7


@pytest.mark.parametrize(("limit", "expected"), [(1.0, 1.0), (100.0, 4.0), (0.0, 0.0)])
def test_the_smaller_of_share_and_limit_counts(clock: Clock, limit: float, expected: float) -> None:
    """A handler's own limit shortens its share and never lengthens it."""
    assert Deadline(8).share(True, limit) == expected


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 3, 10**6])
def test_seconds_come_back_as_float(value: float) -> None:
    """Zero and positive numbers are accepted, as floats."""
    checked = check_seconds(value, "timeout")
    assert checked == value
    assert type(checked) is float


@pytest.mark.parametrize("value", [None, math.inf])
def test_forever_is_none(value: float | None) -> None:
    """None and infinity both mean that there is no end."""
    assert check_seconds(value, "timeout") is None


@pytest.mark.parametrize("value", [-1, -0.001, -math.inf, math.nan])
def test_seconds_that_cannot_be_waited_for(value: float) -> None:
    """Negative seconds and NaN are refused, naming what they were given for."""
    with pytest.raises(UsageError, match="timeout") as caught:
        check_seconds(value, "timeout")
    assert isinstance(caught.value, ValueError)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", ["1", b"1", True, False, [1], 1j, Decimal(1), Fraction(1)])
def test_seconds_that_are_no_number(value: object) -> None:
    """Anything but an int or a float is a TypeError, booleans included."""
    with pytest.raises(TypeError, match="timeout"):
        check_seconds(value, "timeout")  # type: ignore[arg-type]
