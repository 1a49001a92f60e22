"""Steps in which programs that somebody dead has started are ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import lastout

from .world import furnish, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .world import World


@step("reap, and end a program", every=4, forks=True)
def _reap_program(world: World) -> Iterator[None]:
    pid = os.fork()
    if not pid:
        scope = world.join()
        furnish(scope, world)
        scope.popen(["sleep", "1000"], cwd="/", lifetime="member")
        world.shim.note("killed")
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    yield
    lastout.reap(world.root)
