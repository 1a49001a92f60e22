"""Deadlines: the time left, and the share of it that the next waiter may use.

Tested by: tests/process/test_deadline.py
"""

from __future__ import annotations

from time import monotonic

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Deadline:
    """A moment by which something has to be over; `None` seconds means no limit.

    Measured on the monotonic clock, because the wall clock may be changed.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float | None = None) -> None:
        self._end: Final = None if seconds is None else monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left, never below zero; `None` without a limit."""
        return None if self._end is None else max(0.0, self._end - monotonic())

    def passed(self) -> bool:
        """Whether no time is left."""
        return self._end is not None and monotonic() >= self._end

    def share(self, others_wait: bool, limit: float | None = None) -> float | None:
        """Seconds that the next waiter may use, given whether further waiters come after it.

        Half of the time left, or all of it for the last waiter: so a waiter that hangs
        never uses up the time of later waiters, and time that a quick waiter does not use
        stays for them.  `limit` is the waiter's own time limit; the smaller of the two counts.
        """
        left = self.left()
        if left is None:
            return limit
        part = left / 2 if others_wait else left
        return part if limit is None else min(part, limit)


def check_seconds(value: float | None, what: str) -> float | None:
    """`value`, checked to be a time that can be waited for.

    Raises:
        TypeError: `value` is not a number.
        UsageError: `value` is negative or NaN.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number of seconds or None, not {value!r}")
    if not value >= 0:  # not `value < 0`, which is false for NaN
        raise UsageError(f"{what} must be zero or more seconds, not {value!r}")
    return None if value == float("inf") else float(value)
