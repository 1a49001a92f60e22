"""A check that each test has left all scopes, and the backends that work in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lastout._scopes.membership import joining
from lastout.backends.local import LocalBackend
from lastout.backends.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lastout.backends.base import Backend


@pytest.fixture(autouse=True)
def no_scope_left() -> Iterator[None]:
    """No test stays in a scope."""
    yield
    assert not [one.path for one in joining.joined.values() if one.joined]


@pytest.fixture(params=["local", "memory"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """An empty one of either."""
    return LocalBackend(tmp_path / "place") if request.param == "local" else MemoryBackend()
