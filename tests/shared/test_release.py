"""Release among several members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lastout.backends.base import Backend


@pytest.fixture
def world(backend: Backend) -> Iterator[World]:
    """Two members, in one place or the other."""
    world = World(backend)
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


def test_what_others_have_in_it(world: World) -> None:
    """What a living member's things must go before is not released by somebody else."""
    world.make(0, "directory", "/place", "scope", [])
    world.make(1, "file", "/place/inside", "scope", [])
    assert world.release(0, "/place") == "UsageError"
    assert world.release(1, "/place/inside") is None
    assert world.release(0, "/place") is None
    assert (world.log, world.wrong) == (["/place/inside", "/place"], [])


def test_another_s_that_is_being_cleaned(world: World) -> None:
    """What its own member has begun to clean, and has not done, is its own affair."""
    world.make(0, "file", "/one", "scope", [])
    world.stuck.add("/one")
    assert world.release(0, "/one") == "OSError"
    assert world.release(1, "/one") == "UsageError"


def test_another_s_again(world: World) -> None:
    """What another member had is released once, and kept once; nothing the second time."""
    world.make(0, "file", "/one", "scope", [])
    world.make(0, "file", "/kept", "scope", [])
    assert world.release(1, "/one") is None
    assert world.release(1, "/one") is None
    assert world.keep(1, "/kept") is None
    assert world.release(1, "/kept") is None
    assert world.log == ["/one"]
    artifact = world.things["/one"].artifact
    world.leave(0)
    assert artifact is not None
    world.members[1].release(artifact)
    world.members[1].keep(artifact)
    assert (world.log, world.wrong) == (["/one"], [])
