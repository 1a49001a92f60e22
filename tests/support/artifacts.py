"""Artifacts as a scope makes them: prepared, created, and what is then known of them."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from lastout._scopes import tracking
from lastout._scopes.kinds import table as cleaners
from lastout.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lastout import Report
    from lastout._scopes.kinds.base import Recipe


class Made(NamedTuple):
    """An artifact as the journal has it, and what its maker gave to the user."""

    kind: str
    location: str
    data: dict[str, Any]
    given: Any = None

    def clean(self, seconds: float | None = 30.0) -> None:
        """Clean it from its record alone."""
        cleaners.clean(self.kind, self.location, self.data, Deadline(seconds))

    def as_if_cut_off(self) -> Made:
        """The record of a maker that was killed before it could add what it learned."""
        return self._replace(data=self.data["prepared"], given=None)


def recipe(kind: str, *args: Any, **kwargs: Any) -> Recipe[Any]:
    """What a scope records of something that it is about to make.

    Args:
        kind: which one.
        *args: for the `recipe` of its file.
        **kwargs: for that too.
    """
    found: Recipe[Any] = import_module(f"lastout._scopes.kinds.{kind}").recipe(*args, **kwargs)
    return found


def make(kind: str, *args: Any, **kwargs: Any) -> Made:
    """Make an artifact by its recipe; all its data went through JSON, as in a journal."""
    made = recipe(kind, *args, **kwargs)
    location, data, create = made.location, made.data, made.create
    given, more = create() if create else (None, {})
    kept = _through_json(data)
    return Made(kind, location, {**kept, **_through_json(more), "prepared": kept}, given)


def track(kind: str, location: Any) -> Made:
    """The record of something that exists already."""
    found = tracking.adopt(kind, location, {})
    return Made(kind, found.location, _through_json(found.data))


def _through_json(data: Mapping[str, Any]) -> dict[str, Any]:
    back: dict[str, Any] = json.loads(json.dumps(data, allow_nan=False))
    assert back == data, "not everything in it is JSON"
    return back


def failures(report: Report) -> list[BaseException]:
    """What went wrong."""
    return [one.failure.exception for one in report if one.failure]
