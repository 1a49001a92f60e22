"""Tracking: what exists already, or is of a kind that a package brings, as it is recorded.

Tested by: tests/shared/test_scope.py, tests/shared/test_segments.py
"""

from __future__ import annotations

from ..errors import UnknownKind, UnusableKind, UsageError
from .kinds import paths, table
from .kinds.base import Recipe, Trackable
from .kinds.json_values import survives_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .kinds.base import AnyPath


def adopt(kind: str, location: AnyPath, options: Mapping[str, Any]) -> Recipe[object]:
    """Ask a kind how something is recorded, and made if it is not there.

    Raises:
        ArtifactMissing: nothing is there.
        UsageError: it is not of that kind, that kind cannot be handed over, or said what
            cannot be recorded; nothing was made.
        UnusableKind: the package that brings the kind cannot be used.
    """
    found = _trackable(kind)
    recipe = found.adopt(location, **options)
    if kind not in table.KINDS:
        _check(kind, recipe)
        if found.at_path:  # by its directory it is known what it must go before
            place = paths.resolve(kind, recipe.location)
            return Recipe(place, recipe.data, recipe.create)
    return recipe


def check_data(kind: str, what: str, data: object) -> None:
    """Raise `UsageError` unless a kind that a package brings said what can be recorded."""
    if kind not in table.KINDS and not (isinstance(data, dict) and survives_json(data)):
        raise UsageError(
            f"{what} of the kind {kind!r} cannot be recorded, as JSON does not give it back:"
            f" {data!r}; it must be a dict of None, bool, int, finite float, str, and of lists and"
            " dicts of these",
            kind=kind,
        )


def _check(kind: str, recipe: object) -> None:
    if not isinstance(recipe, Recipe) or not isinstance(recipe.location, str):
        raise UsageError(
            f"the kind {kind!r} gave no Recipe with a text for its location: {recipe!r}", kind=kind
        )
    check_data(kind, "the data", recipe.data)


def _trackable(kind: str) -> Trackable:
    found: object = None
    try:
        found = table.find(kind)
    except UnusableKind:
        raise
    except UnknownKind as error:
        why = f": {error}"
    else:
        if isinstance(found, Trackable):
            return found
        why = ""
    known = ", ".join(table.trackable())
    raise UsageError(
        f"cannot track a {kind!r}; only {known}, and what packages bring{why}", kind=kind
    )
