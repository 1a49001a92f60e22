"""Kinds that are none, or do not say what they should."""

from __future__ import annotations

from typing import Any

from lastout.kinds import AnyPath, Data, Deadline, Kind, Recipe, Size, Trackable

NO_CLASS = 5
made: list[str] = []


class OddKind(Trackable):
    """Nothing that is really there."""

    def adopt(self, location: AnyPath, /, *args: Any, **options: Any) -> Recipe[str]:
        """One that says when it is made."""
        return Recipe(str(location), {}, lambda: self._make(str(location)))

    def _make(self, location: str) -> tuple[str, Data]:
        made.append(location)
        return location, {}

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """It is gone."""
        made.remove(location)


class MisnamedKind(OddKind):
    """Of another name than it is registered by."""

    name = "pan"


class NoJsonKind(OddKind):
    """Whose data is no JSON."""

    name = "no_json"

    def adopt(self, location: AnyPath, /, *args: Any, **options: Any) -> Recipe[str]:
        """The data that the user said."""
        recipe = super().adopt(location)
        return Recipe(recipe.location, {"said": options["data"]}, recipe.create)


class NoJsonLaterKind(OddKind):
    """Whose data is no JSON when it is made."""

    name = "no_json_later"

    def _make(self, location: str) -> tuple[str, Data]:
        return super()._make(location)[0], {"handle": object()}


class NotTwoKind(OddKind):
    """Which makes a thing, and gives something else than two values."""

    name = "not_two"

    def adopt(self, location: AnyPath, /, *args: Any, **options: Any) -> Recipe[str]:
        """One that gives what the user said."""

        def create() -> Any:
            self._make(str(location))
            return options["created"]

        return Recipe(str(location), {}, create)


class NoRecipeKind(OddKind):
    """Which gives something else than a recipe."""

    name = "no_recipe"

    def adopt(self, location: AnyPath, /, *args: Any, **options: Any) -> Any:
        """A text."""
        return location


class OnlyCleanedKind(Kind):
    """Which cannot be handed over, and raises whatever it is asked."""

    name = "only_cleaned"

    def limit(self, data: Data) -> float | None:
        """An error."""
        raise RuntimeError

    def size(self, location: str, data: Data) -> Size | None:
        """An error."""
        raise RuntimeError

    def describe(self, location: str, data: Data) -> str:
        """An error."""
        raise RuntimeError

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """The end of a process."""
        raise SystemExit(3)
