"""Where steps happen, what a step is, and who else is there."""

from __future__ import annotations

import os
import pickle
from time import sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import lastout

from .shim import ITSELF, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .shim import Shim

SCOPE = "s"


class World:
    """Where one exploration happens: a root, and a directory for all that is made.

    Unlike `support.world` it has real processes, each killed at one of its calls; what is in
    its scope is read by `things`, without lastout's own code, so it shares no code with that.

    Args:
        base: a directory of its own.
        shim: to tell the judge what the step is about to do.
    """

    def __init__(self, base: Path, shim: Shim) -> None:
        self.base = base
        self.shim = shim
        self.root = base / "root"
        self.things = base / "things"
        self.pickled = base / "pickled"
        self.things.mkdir(parents=True)

    def join(self, guardian: bool = False) -> lastout.Scope:
        """The scope, joined."""
        return lastout.Scope(SCOPE, root=self.root, guardian=guardian)

    def path(self, name: str) -> str:
        """A path for something to be made; no two processes choose the same."""
        return str(self.things / f"{name}-{os.getpid()}")

    def free(self, name: str) -> str:
        """A directory that is there already, for a command or a function to remove."""
        path = self.path(f"free-{name}")
        os.mkdir(path)
        return path

    def wait(self, over: Callable[[], bool]) -> None:
        """Until that is so, or the harm that this process has asked for was done."""
        while not (over() or self.shim.harmed()):
            sleep(0.001)  # nothing tells of it; the deadline is that of the exploration

    def release(self, place: object) -> None:
        """Tell the judge that this is to be cleaned, though others live."""
        self.shim.note("release", os.fspath(place) if hasattr(place, "__fspath__") else str(place))


class Step(NamedTuple):
    """One step.

    Attributes:
        name: what it does.
        act: the generator.
        whose: which process is harmed, see `shim`.
        dead: whether somebody died in the scope before.
        every: how many times as rarely its calls are looked at in a short run; it takes long.
        rare: of how many calls one is looked at in a complete run.
        alone: whether it makes sense without a neighbour.
        forks: whether its generator goes on in a child too.
    """

    name: str
    act: Callable[[World], Iterator[None]]
    whose: int = ITSELF
    dead: bool = False
    every: int = 1
    rare: int = 1
    alone: bool = True
    forks: bool = False

    @property
    def program(self) -> bool:
        """Whether a program that it starts is harmed, or what that forks."""
        return self.whose >= PROGRAM


STEPS: dict[str, Step] = {}


def step(name: str, **options: Any) -> Callable[[Any], Any]:
    """Add a generator to `STEPS`."""

    def add(act: Any) -> Any:
        STEPS[name] = Step(name, act, **options)
        return act

    return add


def furnish(scope: lastout.Scope, world: World) -> list[lastout.Artifact]:
    """Things of both lifetimes, in and after one another."""
    outer = scope.directory(world.path("outer"))
    mine = scope.directory(world.path("mine"), lifetime="member")
    scope.file(outer / "inner")
    (outer / "sub").mkdir()
    (outer / "sub" / "file").touch()
    scope.file(mine / "inner", lifetime="member")
    first = scope.file(world.path("first"))
    last = scope.file(world.path("last"), after=[outer, first])
    return [outer, mine, first, last]


def die(world: World) -> None:
    """Be the one that died in the scope."""
    scope = world.join()
    furnish(scope, world)
    scope.command(["rm", "-rf", world.free("dead")], cwd="/")


def live(world: World) -> None:
    """Be the one that lives in the scope meanwhile."""
    scope = world.join()
    furnish(scope, world)
    world.pickled.write_bytes(pickle.dumps(scope))
