"""Suites that tests run by a pytest of its own, with pytest-xdist or without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.suites import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Callable[..., Suite]]:
    """Run modules of tests by pytest; see `Suite`."""
    made: list[Suite] = []

    def make(**modules: str) -> Suite:
        made.append(Suite(tmp_path / f"suite{len(made)}", modules))
        return made[-1]

    yield make
    for one in made:
        one.close()
