"""Release among several members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lastout.backends.local import LocalBackend
from lastout.backends.memory import MemoryBackend
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["local", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Two members, in one place or the other."""
    local = request.param == "local"
    world = World(LocalBackend(tmp_path / "place") if local else MemoryBackend())
    world.join()
    world.join()
    yield world
    world.stuck.clear()
    for member in list(world.members):
        world.leave(member)


def test_what_was_released_stays_so(world: World) -> None:
    """That another one's artifact could not be released does not bring one's own back."""
    world.make(0, "file", "/other", "scope", [])
    world.make(1, "file", "/mine", "scope", [])
    world.stuck.add("/other")
    assert world.release(1, "/mine") is None
    assert world.release(1, "/other") == "OSError"
    assert world.release(1, "/mine") is None
    assert (world.log, world.wrong) == (["/mine"], [])
