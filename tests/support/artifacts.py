"""Artifacts as a scope makes them: prepared, created, and what is then known of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from lastout._scopes import tracking
from lastout._scopes.kinds import makers
from lastout._scopes.kinds import table as cleaners
from lastout.deadline import Deadline

if TYPE_CHECKING:
    from lastout import Report


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


def make(kind: str, *args: Any, create: tuple[Any, ...] = (), **kwargs: Any) -> Made:
    """Prepare and create an artifact; all its data went through JSON, as in a journal.

    Args:
        kind: which one.
        *args: for `prepare_<kind>`.
        create: what `create_<kind>` gets after location and data.
        **kwargs: for `prepare_<kind>`.
    """
    location, data = getattr(makers, f"prepare_{kind}")(*args, **kwargs)
    given, more = getattr(makers, f"create_{kind}")(location, data, *create)
    kept = _through_json(data)
    return Made(kind, location, {**kept, **_through_json(more), "prepared": kept}, given)


def track(kind: str, location: Any) -> Made:
    """The record of something that exists already."""
    path, data = tracking.prepare(kind, location)
    return Made(kind, path, _through_json(data))


def _through_json(data: dict[str, Any]) -> dict[str, Any]:
    back = json.loads(json.dumps(data, allow_nan=False))
    assert back == data, "not everything in it is JSON"
    return back


def failures(report: Report) -> list[BaseException]:
    """What went wrong."""
    return [one.failure.exception for one in report if one.failure]
