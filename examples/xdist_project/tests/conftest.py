"""One database server for all workers, and a table of its own for each test."""

from __future__ import annotations

import os
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import database
import pytest

from lastout.pytest_plugin import shared_fixture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lastout import Scope


def pytest_sessionstart(session: pytest.Session) -> None:
    """Tell `kill_workers.py` whom it may kill."""
    if hasattr(session.config, "workerinput"):
        database.note("worker", os.getpid())


@shared_fixture(teardown=lambda address: database.note("torn-down", database.ask(address, "pid")))
def server(lastout_run: Scope) -> str:
    """Its address.  The server and its directory are the scope's: SIGKILL or not, they go."""
    home = lastout_run.directory()
    address = home / "socket"
    process = lastout_run.popen([sys.executable, database.__file__, str(address)], cwd=home)
    end = time.monotonic() + 20
    while not address.exists():
        assert process.poll() is None, "the server did not start"
        assert time.monotonic() < end, "the server is not there after 20 s"
        time.sleep(0.01)
    return str(address)


@pytest.fixture
def table(server: str) -> Iterator[Callable[..., object]]:
    """Asks the server, about a table that no other test has."""
    name = uuid.uuid4().hex
    database.note("used", database.ask(server, "pid"))

    def ask(command: str, *args: str) -> object:
        return database.ask(server, command, name, *args)

    yield ask
    ask("drop")


@pytest.fixture
def receipts(lastout_scope: Scope) -> Path:
    """A directory outside of pytest's own, which goes with the test."""
    return Path(lastout_scope.directory())
