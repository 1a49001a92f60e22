"""Options of the storms: `nox -s stress -- --minutes 10 --seed 7`."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long to storm, and from which seed."""
    parser.addoption("--minutes", type=float, default=0.5, help="how long each storm takes")
    seed = random.SystemRandom().randrange(10**6)
    parser.addoption("--seed", type=int, default=seed, help="the first round; the next has +1")


def pytest_report_header(config: pytest.Config) -> str:
    """The seed, to run the same storm again."""
    return f"seed: {config.getoption('seed')}, minutes: {config.getoption('minutes')}"
