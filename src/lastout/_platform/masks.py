"""Signal masks: which signals a thread lets in.

By `_signal`, because `signal` takes long to import; where there are no masks nothing is done.
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
    """Block these in this thread, and no others."""
    if _set:
        _set(_signal.SIG_SETMASK, signals)


class AllBlocked:
    """A block in which no signal comes in by this thread, nor by threads that it starts."""

    __slots__ = ("_before",)

    def __enter__(self) -> Iterable[int]:
        """The signals that were blocked before."""
        self._before = blocked()
        set_blocked(_signal.valid_signals() if _set else ())
        return self._before

    def __exit__(self, *_: object) -> None:
        set_blocked(self._before)
