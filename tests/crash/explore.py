"""One process that is harmed: each step, each call, each harm; then the judge.

Runs in a process that has the shim (`LD_PRELOAD`, `SHIM_TAPE`), as

    python -m crash.explore DIRECTORY some|all|every|N STEP...

and prints one line of JSON for each step, harm and neighbourhood.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import lastout
import lastout._scopes.reaping.recovery
import lastout._scopes.scope
from lastout import errors

from .checker import Ledger
from .family import Family
from .shim import HARMS, STOP, Harm
from .steps import STEPS
from .world import World, die, live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .world import Step

LONGEST = 30  # seconds for one point: nothing may hang
_SHORT = 37  # of how many calls a short run looks at one
_NEVER = 2**62


class Point(NamedTuple):
    """One exploration: which step, with or without a neighbour, what harm at which call."""

    step: Step
    beside: bool
    harm: Harm
    at: int


class Result(NamedTuple):
    """Whether the call was reached, which one it was, and what went wrong."""

    reached: bool
    call: str
    violations: list[str]


class Explorer(Family):
    """Explores points, one after the other.

    Args:
        base: a directory of its own.
    """

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self._world: World
        self._calls: dict[tuple[str, bool, bool], int] = {}

    def warm_up(self, steps: Iterable[Step]) -> None:
        """Go through steps once in this very process, so that imports are no calls of them."""
        self._shim.place(self._base / "root")
        for step in steps:
            with self._fresh_world() as world:
                self._wait(self._fork(lambda: (die(self._world), self._kill_myself())))
                if step.alone and not step.forks:
                    for _ in step.act(world):
                        pass
                lastout._run_exitfuncs()
                self._end_programs()
                self._reap()
            self._shim.rewind()
        assert not self._problems, self._problems

    def explore(self, point: Point) -> Result:
        """Do harm once, and judge."""
        return self._judged(lambda: self._run(point))

    def calls(self, step: Step, beside: bool) -> int:
        """How many calls there are to be harmed."""
        key = step.name, beside, step.dead
        if key not in self._calls:
            self.explore(Point(step, beside, Harm(STOP), _NEVER))
            self._calls[key] = self._shim.met()
        return self._calls[key]

    def _judged(self, act: Callable[[], None]) -> Result:
        self._problems = []
        with self._fresh_world() as world:
            self._shim.rewind()
            try:
                with _deadline():
                    act()
            except Exception as error:  # a deadline, or somebody who should live is dead
                self._problems += [repr(error), self._told()]
                self._end_all()
            events = self._shim.events()
            ledger = Ledger(world.root, world.things, os.getpid())
            ledger.replay(events)
            ledger.check_disk()
            wrong = [*ledger.violations, *self._problems]
            faults = [event for event in events if event.what == "fault"]
            return Result(bool(faults), faults[0].text if faults else "", wrong)

    @contextmanager
    def _fresh_world(self) -> Iterator[World]:
        shutil.rmtree(self._base, ignore_errors=True)
        self._world = World(self._base, self._shim)
        os.chdir(self._base)
        try:
            yield self._world
        finally:
            os.chdir("/")
            shutil.rmtree(self._base, ignore_errors=True)

    def _run(self, point: Point) -> None:
        with self._neighbour(point.beside) as neighbour:
            if point.step.dead:
                self._wait(self._fork(lambda: (die(self._world), self._kill_myself())))
            self._wait(self._fork(lambda: self._be_harmed(point)))
            self._wait_for_orphans({neighbour})
            self._reap()
            self._shim.note("settled")
        self._settle(neighbour)

    def _settle(self, neighbour: int) -> None:
        """Wait for the last ones, and reap once more."""
        if neighbour:
            self._wait(neighbour)
        self._end_programs()
        self._reap()
        self._shim.note("settled")
        self._wait_for_guardians()

    def _be_harmed(self, point: Point) -> None:
        act = point.step.act(self._world)
        next(act)
        self._shim.arm(point.at, point.harm, point.step.whose)
        try:
            next(act, None)
        except (errors.LastoutError, OSError):
            if not point.harm.fails:
                raise
        self._shim.disarm()
        if point.harm.fails and point.at % 3 == 0:
            self._kill_myself()  # what failed may be all that it ever did
        lastout._run_exitfuncs()

    @contextmanager
    def _neighbour(self, wanted: bool = True) -> Iterator[int]:
        """Somebody who lives in the scope meanwhile, and leaves at the end; 0 if not wanted."""
        if not wanted:
            yield 0
            return
        reading, go_home = os.pipe()
        ready, said = os.pipe()

        def be() -> None:
            os.close(go_home)
            live(self._world)
            os.write(said, b".")
            os.read(reading, 1)
            lastout._run_exitfuncs()

        pid = self._fork(be)
        os.close(said)
        os.close(reading)
        if os.read(ready, 1) != b".":
            self._problems.append("the neighbour could not join")
        os.close(ready)
        try:
            yield pid
        finally:
            os.close(go_home)

    def _reap(self) -> None:
        for outcome in lastout.reap(self._world.root).failed:
            self._problems.append(f"an undisturbed reap failed: {outcome}")


@contextmanager
def _deadline() -> Iterator[None]:
    def over(*_: object) -> None:
        raise TimeoutError(f"still not over after {LONGEST} s")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main(base: str, how_many: str, *names: str) -> None:
    """Explore steps; one line of JSON for each harm and neighbourhood."""
    explorer = Explorer(Path(base))
    explorer.warm_up(STEPS[name] for name in names)
    for name in names:
        step = STEPS[name]
        for beside in (False, True) if step.alone else (True,):
            for harm in HARMS:
                one_of = every(how_many, _SHORT * step.every, step.rare)
                print(json.dumps(_explore(explorer, step, beside, harm, one_of)), flush=True)


def every(how_many: str, some: int, all_: int) -> int:
    """Of how many calls one is to be looked at.

    Args:
        how_many: "some", "all", "every" (where "all" leaves some out), or that number.
        some: what that is for "some".
        all_: what it is for "all".
    """
    return {"every": 1, "all": all_, "some": some}.get(how_many) or int(how_many) * all_


def _explore(
    explorer: Explorer, step: Step, beside: bool, harm: str, one_of: int
) -> dict[str, object]:
    points, wrong = 0, []
    title = f"{step.name}{' beside another' * beside}, {harm}"
    at = first_call(title, one_of)
    last = explorer.calls(step, beside) if one_of > 1 else inf
    reached = True
    while reached and at <= last:
        reached, call, violations = explorer.explore(Point(step, beside, HARMS[harm], at))
        points += reached
        if violations:
            wrong.append([f"{title} at {at} ({call})", *violations])
        at += one_of
    return {"what": harm, "points": points, "of": points * one_of, "wrong": wrong}


def first_call(title: str, one_of: int) -> int:
    """Where to begin if only one of so many calls is looked at: not the same for all."""
    return 1 + crc32(title.encode()) % one_of


if __name__ == "__main__":
    main(*sys.argv[1:])
