"""Options of the model: `nox -s model -- --members 3 --megabytes 8000 --limit 10`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How far to go."""
    parser.addoption("--members", type=int, default=2, choices=[2, 3], help="how many there are")
    parser.addoption("--limit", type=int, default=60, help="minutes for a run of three members")
    parser.addoption("--megabytes", type=int, default=4000, help="memory for the states of a run")
