"""Web servers: a request in flight is answered with lastout as it is without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .harness import Server, cases, compare, require
from .webs import SERVERS

if TYPE_CHECKING:
    from .harness import Start


@pytest.mark.thorough
@pytest.mark.parametrize("guest", ["signals", "worker"])
@pytest.mark.parametrize(("server", "event"), cases(SERVERS))
def test_a_request_in_flight(program: Start, server: Server, event: str, guest: str) -> None:
    """Reply, status and log are those without lastout; each process runs its handlers once."""
    require(server)
    assert compare(server, event, guest, program, lambda: True) == []
