"""Two processes at once: one stopped at each call while the other does a whole step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("part", range(5))
def test_every_pair(explore: Callable[[str, Sequence[str]], list[str]], part: int) -> None:
    """Whatever happens between two calls, and whether the first goes on or not, nothing is lost."""
    assert explore("crash.interleave", list(STEPS)[part::5]) == []
