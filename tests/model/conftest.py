"""Options of the model: `nox -s model -- --members 3 --megabytes 8000 --limit 10`; its tools."""

from __future__ import annotations

import os

import pytest

from support.spin import MISSING


def pytest_addoption(parser: pytest.Parser) -> None:
    """How far to go."""
    parser.addoption("--quick", action="store_true", help="the protocol alone, and all variants")
    parser.addoption("--members", type=int, default=2, choices=[2, 3], help="how many there are")
    parser.addoption("--limit", type=int, default=60, help="minutes for a run of three members")
    parser.addoption("--megabytes", type=int, default=4000, help="memory for the states of a run")


@pytest.fixture(autouse=True)
def tools() -> None:
    """Spin and gcc: where they are missing the model is left out, but never in CI."""
    if MISSING:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end(f"needs {' and '.join(MISSING)} (Debian packages)")
