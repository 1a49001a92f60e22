"""Queues, schedulers, supervisors and loops: a job in flight ends with lastout as without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .harness import Server, cases, compare, require
from .loops import SERVERS as LOOPS
from .queues import SERVERS as QUEUES

if TYPE_CHECKING:
    from .harness import Start


@pytest.mark.thorough
@pytest.mark.parametrize("guest", ["signals", "worker"])
@pytest.mark.parametrize(("server", "event"), cases({**QUEUES, **LOOPS}))
def test_a_job_in_flight(
    program: Start, request: pytest.FixtureRequest, server: Server, event: str, guest: str
) -> None:
    """Job, status and log are those without lastout; each process runs its handlers once."""
    require(server)
    wants_redis = any("REDIS" in text for text in (*server.command, *server.files.values()))
    empty = request.getfixturevalue("redis") if wants_redis else lambda: True
    # Jobs that were cut are in the queue again.
    assert compare(server, event, guest, program, empty) == []
