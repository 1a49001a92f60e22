"""Eight threads do all that threads can do with lastout, at once, hammered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.races import hammer

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", ["stack_races", "scope_races"])
def test_threads_at_once(
    name: str, program: Callable[..., Program], pytestconfig: pytest.Config
) -> None:
    """Each handler runs once and in order, nothing goes while it is used, and nothing stays."""
    seconds = 60 * pytestconfig.getoption("minutes")
    print(hammer(program, name, seconds, pytestconfig.getoption("seed")))
