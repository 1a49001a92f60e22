"""Recipes for `Scope.track`: for things that exist already, and for kinds of other packages.

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
    from typing import Any, TypeVar

    from .kinds.base import AnyPath, Data

    Thing = TypeVar("Thing")


def adopt(kind: str, location: AnyPath, options: Mapping[str, Any]) -> Recipe[object]:
    """The recipe of a kind for a thing that is handed to a scope.

    Raises:
        ArtifactMissing: the thing does not exist.
        UsageError: it is not of that kind, or the kind cannot be tracked, or the kind gave data
            that cannot be recorded; nothing was made.
        UnusableKind: the package that provides the kind cannot be used.
    """
    found = _trackable(kind)
    recipe = found.adopt(location, **options)
    if kind not in table.KINDS:
        _check(kind, recipe)
        if found.at_path:  # by its directory it is known what it must go before
            place = paths.resolve(kind, recipe.location)
            return Recipe(place, recipe.data, recipe.create)
    return recipe


def check_created(kind: str, created: tuple[Thing, Data]) -> tuple[Thing, Data]:
    """The thing that `create` of a recipe gave, and the data that are known only now.

    Raises:
        UsageError: a kind of another package gave something else; the thing was made.
    """
    try:
        made, more = created
    except (TypeError, ValueError):
        raise UsageError(
            f"create of the kind {kind!r} must give two values, what the user gets and a dict of"
            f" data, not {created!r}; what it made stays recorded",
            kind=kind,
        ) from None
    if more:
        _check_data(kind, "what was known only later", more)
    return made, more


def _check_data(kind: str, what: str, data: object) -> None:
    """Raise `UsageError` if a kind of another package gave data that cannot be recorded."""
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
    _check_data(kind, "the data", recipe.data)


def _trackable(kind: str) -> Trackable:
    why = f"{kind!r} is no Trackable: nothing can be handed over"
    try:
        found = table.find(kind)
    except UnusableKind:
        raise
    except UnknownKind:
        why = "no package that is installed brings it"
    else:
        if isinstance(found, Trackable):
            return found
    own = ", ".join(table.trackable())
    raise UsageError(
        f"cannot track a {kind!r}: {why}; only {own}, and what packages bring, can be",
        kind=kind,
    )
