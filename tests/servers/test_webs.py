"""Web servers: a request in flight is answered with lastout as it is without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import lastout

from .harness import Seen, Server, differences, require, run
from .webs import SERVERS

if TYPE_CHECKING:
    from .harness import Start

CASES = [
    pytest.param(name, event, id=f"{name} {event}")
    for name, server in SERVERS.items()
    for event in server.events
]
_without: dict[tuple[str, str], Seen] = {}  # once for all that is compared with it


@pytest.mark.thorough
@pytest.mark.parametrize("guest", ["signals", "worker"])
@pytest.mark.parametrize(("name", "event"), CASES)
def test_a_request_in_flight(program: Start, name: str, event: str, guest: str) -> None:
    """Reply, status and log are those without lastout; each process runs its handlers once."""
    server: Server = SERVERS[name]
    require(server)
    if (name, event) not in _without:
        _without[name, event] = run(server, event, "without", program)
    expected = _without[name, event]._replace(handlers=server.handlers.get(event, "once"))
    seen = run(server, event, guest, program)
    if "lost" in seen.handlers:
        lastout.reap()  # as whoever comes next does; it has to be enough
    assert differences(seen, expected) == []
