"""Time left, and how much of it one waiter may use."""

from __future__ import annotations

from time import monotonic

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Deadline:
    """A moment by which something has to be over; `None` seconds means never.

    Measured on the monotonic clock, so that a changed wall clock moves nothing.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float | None = None) -> None:
        self._end: Final = None if seconds is None else monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left, never below zero; `None` where there is no end."""
        return None if self._end is None else max(0.0, self._end - monotonic())

    def passed(self) -> bool:
        """Whether no time is left."""
        return self._end is not None and monotonic() >= self._end

    def share(self, others_wait: bool, limit: float | None = None) -> float | None:
        """Seconds that the next one may use, given whether others stand behind it.

        Half of what is left, or all of it for the last one: a single one that
        hangs can never use up the time of those behind it, and what a quick
        one does not use stays for the others.  `limit` is its own time limit;
        the smaller of the two counts.
        """
        left = self.left()
        if left is None:
            return limit
        part = left / 2 if others_wait else left
        return part if limit is None else min(part, limit)


def check_seconds(value: float | None, what: str) -> float | None:
    """`value` if it can be waited for, else a clear error.

    Raises:
        TypeError: it is not a number.
        UsageError: it is negative or not a number at all (NaN).
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number of seconds or None, not {value!r}")
    if not value >= 0:  # NaN is neither more nor less
        raise UsageError(f"{what} must be zero or more seconds, not {value!r}")
    return None if value == float("inf") else float(value)
