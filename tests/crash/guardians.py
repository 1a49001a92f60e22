"""What is harmed of guardians: who starts one, the program, the guardian itself, its jobs.

A guardian is there from its start until its scope is gone, so it is harmed in
whatever it does until then: it takes over, looks, has a job done, looks again.
"""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

from lastout.backends.guards import is_guardian

from .shim import CHILD, GUARDIAN, JOB, LATE, PROGRAM
from .world import furnish, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    import lastout

    from .world import World


def _start(world: World) -> Iterator[None]:
    scope = world.join()
    furnish(scope, world)
    yield
    world.join(guardian=True)


def _replace(world: World) -> Iterator[None]:
    scope = world.join(guardian=True)
    furnish(scope, world)
    for pid in guardians():
        _kill(pid)
        world.shim.note("gone", value=pid)
    yield
    world.join(guardian=True)


def _die(world: World) -> Iterator[None]:
    """A member dies, and the guardian has its things cleaned."""
    scope = world.join()
    furnish(scope, world)
    yield
    world.join(guardian=True)
    pid = os.fork()
    if not pid:
        furnish(scope, world)
        _kill_myself(world)
    os.waitpid(pid, 0)
    world.wait(lambda: _cleaned(world, pid))


def _orphan(world: World) -> Iterator[None]:
    """A worker's parent dies, and the guardian ends the worker."""
    furnish(world.join(), world)
    ready, said = os.pipe()
    home, go_home = os.pipe()
    yield
    guarded = world.join(guardian=True)
    parent = os.fork()
    if not parent:
        os.close(go_home)
        _be_parent(world, guarded, said, home)
    os.waitpid(parent, 0)
    os.close(said)
    pid = int(os.read(ready, 20))
    world.wait(lambda: _cleaned(world, pid))
    os.close(go_home)  # a worker that nobody ended


def _be_parent(world: World, scope: lastout.Scope, said: int, home: int) -> None:
    worker = scope.worker
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os.read(told, 1)
    else:
        worker()
        furnish(scope, world)
        os.write(said, b"%d" % os.getpid())
        os.write(tell, b".")
        os.read(home, 1)
    _kill_myself(world)


def _cleaned(world: World, pid: int) -> bool:
    """Whether what that one had for itself is gone."""
    return not os.path.lexists(world.things / f"mine-{pid}")


def _kill(pid: int) -> None:
    """Kill a process, and wait until it has given up its locks."""
    held = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    poll = select.poll()
    poll.register(held, select.POLLIN)
    poll.poll()
    os.close(held)


def _kill_myself(world: World) -> None:
    world.shim.note("killed")
    os.kill(os.getpid(), signal.SIGKILL)


def guardians() -> list[int]:
    """The guardians among the processes that this one's parent has adopted."""
    adopter = os.getppid()
    with open(f"/proc/{adopter}/task/{adopter}/children", encoding="ascii") as children:
        pids = [int(word) for word in children.read().split()]
    return [pid for pid in pids if is_guardian(pid)]


step("guardian: start one", every=7)(_start)
step("guardian: start one, in the child", every=7, whose=CHILD)(_start)
step("guardian: replace one that was killed", every=7)(_replace)
step("guardian: the program starts", every=29, rare=29, whose=PROGRAM)(_start)
step("guardian: it takes over", every=7, whose=GUARDIAN)(_replace)
step("guardian: it sees somebody die", every=7, whose=GUARDIAN, forks=True)(_die)
step("guardian: it sees an orphan", every=7, rare=3, whose=GUARDIAN, forks=True)(_orphan)
step("guardian: its job reaps", every=9, rare=3, whose=JOB | LATE, forks=True)(_die)
step("guardian: its job ends orphans", every=9, rare=7, whose=JOB | LATE, forks=True)(_orphan)
