"""Showing: failures wait until the last handler has run, then each is shown once.

To show one takes time: Python 3.15 loads some fifty modules for its first traceback,
and the hook may be anybody's.  That time belongs to the handlers that still wait.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Show = Callable[[BaseException, object, TracebackType | None], None]


class Failures:
    """What failed and was not shown yet, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Show, BaseException, object, TracebackType | None]] = []

    def add(
        self, exception: BaseException, func: object, traceback: TracebackType | None, show: Show
    ) -> None:
        """Have `exception`, which came out of `func`, shown by `show` later.

        With the traceback that it has now: one that is raised again gets a longer one.
        """
        self._waiting.append((show, exception, func, traceback))

    def show(self) -> bool:
        """Show them all, those that are added meanwhile too; whether there were any."""
        if not self._waiting:
            return False
        stream = sys.stderr
        if getattr(stream, "closed", False):
            sys.stderr = sys.__stderr__  # a handler has closed the program's own log, say
        try:
            self._show_each()
        finally:
            if sys.stderr is sys.__stderr__:
                sys.stderr = stream
        return True

    def _show_each(self) -> None:
        # On its own, because the jump back of a loop lies outside of a `try` around it.
        while self._waiting:
            try:
                show, exception, func, traceback = self._waiting.pop(0)
            except IndexError:  # another thread was faster
                return
            show(exception, func, traceback)
