"""Signal masks: which signals a thread blocks.

This module uses `_signal`, because `signal` takes long to import.  On a system without signal
masks its functions do nothing.

Tested by: tests/process/test_signals_children.py
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_set: Any = getattr(_signal, "pthread_sigmask", None)


def blocked() -> Iterable[int]:
    """The signals that are blocked in this thread."""
    return _set(_signal.SIG_BLOCK, ()) if _set else ()


def set_blocked(signals: Iterable[int]) -> None:
    """Block exactly these signals in this thread."""
    if _set:
        _set(_signal.SIG_SETMASK, signals)


class AllBlocked:
    """A context in which this thread, and threads that it starts, block all signals."""

    __slots__ = ("_before",)

    def __enter__(self) -> Iterable[int]:
        """Block all signals; returns the signals that were blocked before."""
        self._before = blocked()
        set_blocked(_signal.valid_signals() if _set else ())
        return self._before

    def __exit__(self, *_: object) -> None:
        set_blocked(self._before)
