"""Reports: values that say which handlers ran, how long each took, and which failed.

Failures are kept until the last handler has run, and then each is shown once, because
showing takes time that waiting handlers may need: Python 3.15 loads some fifty modules
for its first traceback, and the program may have set any hook.

Tested by: tests/process/test_report.py
"""

from __future__ import annotations

import sys

from ._platform import safe_repr
from ._platform.imports import public
from .errors import HandlerTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Literal

    Show = Callable[[BaseException, object, TracebackType | None], None]
    Status = Literal["done", "failed", "timed out"]


@public
class Failure:
    """Why one step failed: the exception, and its traceback as text.

    The text is there because an exception that is passed to another process loses its
    traceback.  The text is made on first use, or when the failure is pickled, and not
    while other handlers wait for their turn.

    Attributes:
        exception: the exception that the step raised.
    """

    __slots__ = ("_text", "_traceback", "exception")

    def __init__(self, exception: BaseException, traceback: str = "") -> None:
        self.exception = exception
        # Kept as it is now, because raising the exception again makes its traceback longer.
        self._traceback = exception.__traceback__
        self._text = traceback

    @property
    def traceback(self) -> str:
        """The text that Python prints for the exception."""
        if not self._text:
            self._text = _as_text(self.exception, self._traceback)
        return self._text

    def __repr__(self) -> str:
        return f"Failure({self.exception!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Failure):
            return NotImplemented
        return (self.exception, self.traceback) == (other.exception, other.traceback)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Failure, (self.exception, self.traceback)


class FailureList:
    """Failures that were not shown yet, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Show, BaseException, object, TracebackType | None]] = []

    def add(
        self, exception: BaseException, func: object, traceback: TracebackType | None, show: Show
    ) -> None:
        """Have `exception`, which `func` raised, shown by `show` later.

        With its current traceback, because raising the exception again makes it longer.
        """
        self._waiting.append((show, exception, func, traceback))

    def show(self) -> bool:
        """Show all failures, even if added meanwhile; returns whether there were any."""
        if not self._waiting:
            return False
        stream = sys.stderr
        if getattr(stream, "closed", False):
            sys.stderr = sys.__stderr__  # for example, a handler has closed the program's log
        try:
            self._show_each()
        finally:
            if sys.stderr is sys.__stderr__:
                sys.stderr = stream
        return True

    def _show_each(self) -> None:
        # A method of its own, because the jump back of a loop, where Ctrl-C may come, lies
        # outside of a `try` around the loop.
        while self._waiting:
            try:
                show, exception, func, traceback = self._waiting.pop(0)
            except IndexError:  # another thread was faster
                return
            show(exception, func, traceback)


@public
class Outcome:
    """How one step ended.

    Attributes:
        name: the name of the step, as `module.qualname` or a short description.
        seconds: how long it ran, or how long it was waited for.
        failure: why it failed, or `None`.
    """

    __slots__ = ("failure", "name", "seconds")

    def __init__(self, name: str, seconds: float, failure: Failure | None = None) -> None:
        self.name = name
        self.seconds = seconds
        self.failure = failure

    @property
    def status(self) -> Status:
        """`"done"`, `"failed"` or `"timed out"`."""
        if self.failure is None:
            return "done"
        return "timed out" if isinstance(self.failure.exception, HandlerTimeout) else "failed"

    def __repr__(self) -> str:
        return f"Outcome({self.name!r}, {self.seconds:.6f}, {self.status!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcome):
            return NotImplemented
        mine = (self.name, self.seconds, self.failure)
        return mine == (other.name, other.seconds, other.failure)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Outcome, (self.name, self.seconds, self.failure)


@public
class Report:
    """The outcomes of all steps, in the order in which they ran.

    Iterating over a report gives its `Outcome` values.

        >>> report = Report([Outcome("app.close", 0.25)])
        >>> report.ok, len(report), report.seconds
        (True, 1, 0.25)
        >>> print(report)
        1 done in 0.250 s
          done       0.250 s  app.close

    Attributes:
        outcomes: how each step ended.
        seconds: the whole time, from begin to end; if that is not given, the time of
            all steps together.
    """

    __slots__ = ("outcomes", "seconds")

    def __init__(self, outcomes: Iterable[Outcome] = (), seconds: float | None = None) -> None:
        self.outcomes = tuple(outcomes)
        together = sum(outcome.seconds for outcome in self.outcomes)
        self.seconds = together if seconds is None else seconds

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing ran out of time."""
        return not self.failed and not self.timed_out

    @property
    def done(self) -> tuple[Outcome, ...]:
        """The steps that ended without failure."""
        return self._with("done")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The steps that raised."""
        return self._with("failed")

    @property
    def timed_out(self) -> tuple[Outcome, ...]:
        """The steps that were abandoned when their time was over."""
        return self._with("timed out")

    def raise_failures(self) -> None:
        """Raise all failures as one `BaseExceptionGroup`; do nothing if there are none."""
        wrong = [outcome.failure.exception for outcome in self.outcomes if outcome.failure]
        if wrong:
            raise BaseExceptionGroup(f"{len(wrong)} of {len(self)} cleanups failed", wrong)

    def _with(self, status: Status) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status == status)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        return (self.outcomes, self.seconds) == (other.outcomes, other.seconds)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Report, (self.outcomes, self.seconds)

    def __repr__(self) -> str:
        return f"Report({list(self.outcomes)!r})"

    def __str__(self) -> str:
        counts = [
            f"{len(group)} {status}"
            for status, group in (
                ("done", self.done),
                ("failed", self.failed),
                ("timed out", self.timed_out),
            )
            if group
        ]
        lines = [f"{', '.join(counts) or 'nothing to do'} in {self.seconds:.3f} s"]
        for outcome in self.outcomes:
            why = f": {outcome.failure.exception!r}" if outcome.failure else ""
            lines.append(f"  {outcome.status:<9}{outcome.seconds:>7.3f} s  {outcome.name}{why}")
        return "\n".join(lines)


def _as_text(exception: BaseException, since: TracebackType | None) -> str:
    try:
        import traceback  # only after a failure, because it loads slowly

        return "".join(traceback.format_exception(type(exception), exception, since))
    except Exception:  # no descriptors or no memory are left to load `traceback`
        return f"{type(exception).__name__}: {safe_repr(exception)} (no traceback could be made)\n"
