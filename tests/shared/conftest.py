"""A check that each test has left all scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lastout._scopes.membership import joining

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_scope_left() -> Iterator[None]:
    """No test stays in a scope."""
    yield
    assert not [one.path for one in joining.joined.values() if one.joined]
