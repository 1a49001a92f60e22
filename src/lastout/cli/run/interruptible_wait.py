"""Interruptible wait: wait for processes that are being ended, until a signal comes.

Tested by: tests/cli/test_interruptible_wait.py
"""

from __future__ import annotations

import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_WHY: Final = "interrupted by a signal"  # a cleanup that it ends is reported with it


class WaitInterrupted(Exception):
    """A signal came during a wait; not named an error, because it is none."""


class InterruptibleWait:
    """A context manager in which a signal ends a wait, and not this process.

    A signal that comes outside of a wait counts for the next wait.
    """

    def __init__(self) -> None:
        self._over = False
        self._limited = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for signum in _SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """In this block a signal raises `WaitInterrupted`, also one that came before it; once."""
        self._limited = True
        try:
            if self._over:
                raise WaitInterrupted(_WHY)
            yield
        finally:
            self._limited = self._over = False

    def _on_signal(self, *_: object) -> None:
        self._over = True
        if self._limited:
            self._limited = False
            raise WaitInterrupted(_WHY)
