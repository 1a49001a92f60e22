"""Measure: rounds in which ours and the rivals alternate, and a line for each comparison."""

from __future__ import annotations

import gc
import subprocess
import sys
from statistics import median, quantiles
from textwrap import dedent
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

HEADING = f"{'what':<44}{'ours':>10}  {'rival':<28}{'its':>10}{'ratio':>9}  budget"


class Median(float):
    """The median of some seconds, which knows how far they lay apart.

    Attributes:
        low: a quarter of the values lay below it.
        high: a quarter of the values lay above it.
        number: how many values there were.
    """

    __slots__ = ("high", "low", "number")
    low: float
    high: float
    number: int

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """The median of these."""
        self = cls(median(values))
        self.low, _, self.high = quantiles(values, method="inclusive") if values[1:] else values * 3
        self.number = len(values)
        return self


class Line(NamedTuple):
    """One comparison.

    Attributes:
        what: what was measured; "{}" in it stands for the size.
        ours: seconds.
        rival: whom it is compared with.
        its: the rival's seconds.
        budget: the largest allowed `ours / its`, or `None` where there is none.
        most: the largest allowed `ours` in seconds, or `None`.
        size: of how many things, where the cost is measured for more and more of them.
    """

    what: str
    ours: float
    rival: str
    its: float
    budget: float | None = None
    most: float | None = None
    size: int | None = None

    @property
    def used(self) -> float:
        """The share of the budget that was used; of the tighter one, if there are two."""
        shares = [
            *([self.ours / (self.budget * self.its)] if self.budget is not None else []),
            *([self.ours / self.most] if self.most is not None else []),
        ]
        return max(shares, default=0.0)

    @property
    def missed(self) -> bool:
        """Whether a budget was missed."""
        return self.used > 1

    @property
    def title(self) -> str:
        """What was measured, with its size."""
        return self.what.replace("{}", f"{self.size:,}") if self.size is not None else self.what

    @property
    def limits(self) -> str:
        """The budgets in words."""
        return ", ".join(
            [
                *([f"<= {self.budget:.3g} x"] if self.budget is not None else []),
                *([f"<= {in_words(self.most)}"] if self.most is not None else []),
            ]
        )

    def __str__(self) -> str:
        ratio = f"{self.ours / self.its:.3g} x" if self.its > 0 else "-"
        verdict = f"{self.limits}, {'MISSED' if self.missed else 'OK'}" if self.limits else ""
        return (
            f"{self.title:<44}{in_words(self.ours):>10}  {self.rival:<28}{in_words(self.its):>10}"
            f"{ratio:>9}  {verdict}"
        ).rstrip()

    def facts(self) -> dict[str, object]:
        """This line as JSON says it."""
        limits = {"limits": self.limits, "used": self.used} if self.limits else {}
        return {
            "what": self.what,
            "size": self.size,
            "ours": _spread(self.ours),
            "rival": self.rival,
            "its": _spread(self.its),
            **limits,
        }


def _spread(seconds: float) -> dict[str, float]:
    """A median and its quartiles; a difference of two medians has none."""
    if isinstance(seconds, Median):
        number = seconds.number
        return {"median": seconds, "low": seconds.low, "high": seconds.high, "rounds": number}
    return {"median": seconds}


def in_words(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def medians(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Median]:
    """The median seconds of each case; one round runs each once, and the first one does not count.

    The order turns from round to round, so that none always comes after the same one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took = cases[name]()
            if number:
                seconds[name].append(took)
    return {name: Median.of(values) for name, values in seconds.items()}


def timed(work: Callable[[], object], times: int = 1) -> float:
    """Seconds that one of `times` parts of `work()` took, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        began = perf_counter()
        work()
        return (perf_counter() - began) / times
    finally:
        gc.enable()


class Companion:
    """Another interpreter that measures when told to: for what cannot be undone in one.

    Args:
        script: code that defines `measure() -> float`, seconds.
    """

    def __init__(self, script: str) -> None:
        loop = "\nimport sys\nfor _ in sys.stdin: print(measure(), flush=True)\n"
        self._process = subprocess.Popen(
            # From 3.12 a fork beside a thread is worth a warning.
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(script) + loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> float:
        """Measure once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=60)
