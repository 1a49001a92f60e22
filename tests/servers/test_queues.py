"""Queues, schedulers, supervisors and loops: a job in flight ends with lastout as without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import lastout

from .harness import Seen, differences, require, run
from .loops import SERVERS as LOOPS
from .queues import SERVERS as QUEUES

if TYPE_CHECKING:
    from .harness import Start

SERVERS = {**QUEUES, **LOOPS}
CASES = [
    pytest.param(name, event, id=f"{name} {event}")
    for name, server in SERVERS.items()
    for event in server.events
]
_without: dict[tuple[str, str], Seen] = {}  # once for all that is compared with it


@pytest.mark.thorough
@pytest.mark.parametrize("guest", ["signals", "worker"])
@pytest.mark.parametrize(("name", "event"), CASES)
def test_a_job_in_flight(
    program: Start, request: pytest.FixtureRequest, name: str, event: str, guest: str
) -> None:
    """Job, status and log are those without lastout; each process runs its handlers once."""
    server = SERVERS[name]
    require(server)
    wants_redis = any("REDIS" in text for text in (*server.command, *server.files.values()))
    empty = request.getfixturevalue("redis") if wants_redis else lambda: True
    if (name, event) not in _without:
        _without[name, event] = run(server, event, "without", program)
    assert empty()  # jobs that were cut are there again
    expected = _without[name, event]._replace(handlers=server.handlers.get(event, "once"))
    seen = run(server, event, guest, program)
    if "lost" in seen.handlers:
        lastout.reap()  # as whoever comes next does; it has to be enough
    assert differences(seen, expected) == []
