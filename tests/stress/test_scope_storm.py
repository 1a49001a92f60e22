"""Storms over scopes: processes of all kinds, killed at any time, and nothing is left."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from support.storm import Storm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program


@pytest.mark.timeout(0)
def test_storms(
    program: Callable[..., Program], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """However processes of a scope are killed, all is cleaned once, in order, by the last one."""
    seed: int = pytestconfig.getoption("seed")
    end = monotonic() + 60 * pytestconfig.getoption("minutes")
    rounds = processes = things = 0
    signals: Counter[str] = Counter()
    while not rounds or monotonic() < end:
        storm = Storm(program, tmp_path / f"area{rounds}", seed + rounds, trees=6, depth=3)
        storm.blow(15.0)
        verdict = storm.end()
        # With all that was said: the same seed may not show it again.
        told = [f"seed {storm.seed}", *verdict.wrong, "", *verdict.lines]
        assert not verdict.wrong, "\n".join(told)
        rounds += 1
        processes += len(verdict.pids)
        signals += storm.sent
        things += len(verdict.things)
    print(
        f"{rounds} storms from seed {seed}: {processes} members, {things} artifacts,"
        f" signals: {dict(signals)}, no fault"
    )
