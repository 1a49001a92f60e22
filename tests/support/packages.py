"""Packages that bring kinds of artifacts: `tests/packages/kitchen`, and others for one test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KITCHEN = Path(__file__).parents[1] / "packages" / "kitchen"


def install(directory: Path, name: str, kinds: Mapping[str, str]) -> Path:
    """Write down what an installed package of that name says of its kinds; its directory.

    Args:
        directory: where to install it.
        name: what it is called.
        kinds: for the name of each kind, where its class is.
    """
    metadata = directory / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{kind} = {where}" for kind, where in kinds.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[lastout.kinds]", *lines, ""]))
    return directory
