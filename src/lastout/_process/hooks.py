"""Hooks: what `children` and `signals` hang into the registry, which knows nothing of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_arm: list[Callable[[], None]] = []
_inherited: list[Callable[[], None]] = []
_after_end: list[Callable[[], None]] = []


def call_to_arm(arm: Callable[[], None]) -> None:
    """Have `arm` called at the first registration in this process."""
    if arm not in _arm:
        _arm.append(arm)


def call_when_inherited(notice: Callable[[], None]) -> None:
    """Have `notice` called when an inheritable handler was registered."""
    if notice not in _inherited:
        _inherited.append(notice)


def call_after_end(callback: Callable[[], None]) -> None:
    """Have `callback` called when the process ends and its handlers have run."""
    _after_end.append(callback)


def tell_armed() -> None:
    """It is the first registration in this process."""
    for arm in _arm:
        arm()


def tell_inherited() -> None:
    """An inheritable handler was registered."""
    for notice in _inherited:
        notice()


def tell_ended() -> None:
    """The process ends, and its handlers have run."""
    for callback in _after_end:
        callback()
