"""Stacks to look at, and something to hang on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from support.stacks import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stack() -> Watched:
    """An empty stack with a log."""
    return Watched()


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What a handler that hangs waits for; the test's end sets it free."""
    event = threading.Event()
    yield event
    event.set()
