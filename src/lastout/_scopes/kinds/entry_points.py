"""Kinds that other packages provide, by entry points in the group `lastout.kinds`.

[project.entry-points."lastout.kinds"]
teapot = "kitchen.kinds:TeapotKind"

Tested by: tests/shared/test_kinds.py
"""

from __future__ import annotations

from importlib import metadata

from ..._platform.imports import without_forks
from ...errors import UnknownKind, UnusableKind
from .base import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

GROUP: Final = "lastout.kinds"
OURS: Final = "lastout itself"
_LETTERS: Final = str.maketrans("_-.", "xxx")


def find(name: str, built_in: Collection[str]) -> Kind:
    """The kind of that name that a package provides.

    Args:
        name: the name of the kind.
        built_in: the names of lastout's own kinds, which packages must not use.

    Raises:
        UnknownKind: no installed package provides it.
        UnusableKind: several packages provide it, or its import fails, or it is no kind; or
            its package also claims a name in `built_in`.
    """
    try:
        every = without_forks(lambda: [*metadata.entry_points(group=GROUP)])
    except Exception as error:  # metadata of packages can be damaged in any way
        raise _unusable(name, f"the packages that are installed cannot be read: {error}") from error
    claims = [entry for entry in every if entry.name == name]
    if not claims:
        raise UnknownKind(
            f"nothing here cleans a {name!r}: this version of lastout has only"
            f" {', '.join(sorted(built_in))}, and no package that is installed brings it; clean"
            " it with the version, or where the package is, that recorded it",
            kind=name,
        )
    _check_claims(name, claims, [entry for entry in every if entry.name in built_in])
    return _load(name, claims[0])


def _check_claims(
    name: str, claims: list[metadata.EntryPoint], taken: list[metadata.EntryPoint]
) -> None:
    """Raise `UnusableKind` unless one package claims `name`, and none of lastout's names."""
    packages = sorted(map(_package_of, claims))
    if len(packages) > 1:
        raise _unusable(name, f"both {' and '.join(packages)} claim that name; remove one of them")
    for entry in taken:
        if _package_of(entry) == packages[0]:
            raise _unusable(
                name,
                f"{packages[0]}, which brings it, and {OURS} both claim the name {entry.name!r};"
                f" {packages[0]} has to call its own otherwise",
            )


def _package_of(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value.partition(":")[0]


def _load(name: str, entry: metadata.EntryPoint) -> Kind:
    try:
        found = without_forks(lambda: _made(entry))
    except (Exception, SystemExit) as error:
        raise _unusable(
            name,
            f"{_package_of(entry)} brings it, but {entry.value} fails:"
            f" {type(error).__name__}: {error}",
        ) from error
    if not name.isascii() or not name.translate(_LETTERS).isalnum():
        raise _unusable(name, "a name has letters, digits, and any of _ - . besides")
    if not isinstance(found, Kind) or getattr(found, "name", None) != name:
        raise _unusable(
            name,
            f"{_package_of(entry)} brings it, but {entry.value} is no subclass of"
            f" lastout.kinds.Kind with the name {name!r}",
        )
    return found


def _made(entry: metadata.EntryPoint) -> object:
    """An object of the class that an entry point names."""
    named = entry.load()
    return named() if isinstance(named, type) and issubclass(named, Kind) else named


def _unusable(name: str, why: str) -> UnusableKind:
    return UnusableKind(f"the kind {name!r} cannot be used here: {why}", kind=name)
