"""One process that is harmed: each step, each call, each harm; then the judge.

Runs in a process that has the shim (`LD_PRELOAD`, `SHIM_TAPE`), as

    python -m crash.explore DIRECTORY all|some|N STEP...

and prints one line of JSON for each step, harm and neighbourhood.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import lastout
import lastout._shared.recovery
import lastout._shared.scope
from lastout import errors
from lastout._shared.guardian import is_guardian

from .checker import Ledger
from .shim import CHILDREN, HARMS, ITSELF, Shim
from .steps import STEPS, World, die, live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .shim import Harm
    from .steps import Step

LONGEST = 8  # seconds for one point: nothing may hang
_SHORT = 37  # of how many calls a short run looks at one
_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36  # prctl(2)


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


class Explorer:
    """Explores points, one after the other.

    Args:
        base: a directory of its own.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._shim = Shim()
        self._world: World
        self._problems: list[str] = []
        # Grandchildren become ours when their parent is killed.
        self._prctl = ctypes.CDLL(None).prctl
        self._prctl(_CHILD_SUBREAPER, 1)

    def warm_up(self) -> None:
        """Go through the steps once in this very process, so that imports are no calls of them."""
        for step in STEPS.values():
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
        go_home, neighbour = 0, 0
        if point.beside:
            reading, go_home = os.pipe()
            neighbour = self._start_neighbour(reading, go_home)
            os.close(reading)
        if point.step.dead:
            self._wait(self._fork(lambda: (die(self._world), self._kill_myself())))
        self._wait(self._fork(lambda: self._be_harmed(point)))
        self._wait_for_orphans({neighbour})
        self._reap()
        self._shim.note("settled")
        if neighbour:
            os.close(go_home)
            self._wait(neighbour)
        self._end_programs()
        self._reap()
        self._shim.note("settled")
        for pid in _children():
            self._wait(pid)  # a guardian ends when its scope is gone

    # Processes.

    def _fork(self, act: Callable[[], object]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 9
        try:
            self._prctl(_DEATH_SIGNAL, signal.SIGKILL)  # it may be stopped, or wait for us
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.unraisablehook = self._unraisable
            act()
            status = 0
        except BaseException:
            self._complain(traceback.format_exc())
        finally:
            self._shim.disarm()
            os._exit(status)

    def _unraisable(self, told: sys.UnraisableHookArgs) -> None:
        # What fails on leaving is told so, and may: the next one cleans.
        if not isinstance(told.exc_value, errors.LastoutError | OSError):
            self._complain("".join(traceback.format_exception(told.exc_value)))

    def _complain(self, text: str) -> None:
        self._shim.disarm()
        with open(self._base / "problems", "a", encoding="utf-8") as file:
            file.write(text)

    def _be_harmed(self, point: Point) -> None:
        act = point.step.act(self._world)
        next(act)
        self._shim.arm(point.at, point.harm, CHILDREN if point.step.children else ITSELF)
        try:
            next(act, None)
        except (errors.LastoutError, OSError):
            if not point.harm.fails:
                raise
        self._shim.disarm()
        if point.harm.fails and point.at % 3 == 0:
            self._kill_myself()  # what failed may be all that it ever did
        lastout._run_exitfuncs()

    def _kill_myself(self) -> None:
        self._shim.note("killed")
        os.kill(os.getpid(), signal.SIGKILL)

    def _start_neighbour(self, reading: int, go_home: int) -> int:
        ready, said = os.pipe()

        def be() -> None:
            os.close(go_home)
            live(self._world)
            os.write(said, b".")
            os.read(reading, 1)
            lastout._run_exitfuncs()

        pid = self._fork(be)
        os.close(said)
        if os.read(ready, 1) != b".":
            self._problems.append("the neighbour could not join")
        os.close(ready)
        return pid

    def _wait(self, pid: int) -> None:
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return  # its parent waited for it
        self._shim.note("gone", value=pid)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self._problems.append(f"{pid} ended with {os.WEXITSTATUS(status)}: {self._told()}")

    def _told(self) -> str:
        problems = self._base / "problems"
        return problems.read_text() if problems.exists() else ""

    def _wait_for_orphans(self, others: set[int]) -> None:
        """Until those that were forked have ended, and those that were started are running."""
        waited: set[int] = set(others)
        while new := self._forked() - waited:
            for pid in new:
                self._wait(pid)
            waited |= new
        for pid in set(_children()) - others:
            while not self._is_program(pid) and os.waitpid(pid, os.WNOHANG) == (0, 0):
                sleep(0.001)  # nothing tells of an exec; the deadline is that of the point

    def _is_program(self, pid: int) -> bool:
        return pid in self._programs() or is_guardian(pid)

    def _programs(self) -> set[int]:
        found = {event.pid for event in self._shim.events() if event.what == "program"}
        return found - {os.getpid()}

    def _forked(self) -> set[int]:
        """Those that were forked, but not by a program: a guardian lives as long as its scope."""
        programs, found = self._programs(), set[int]()
        for event in self._shim.events():
            parent, child = (
                (event.pid, event.value) if event.what == "fork" else (event.value, event.pid)
            )
            if event.what in ("fork", "born") and parent in programs:
                programs.add(child)
            elif event.what in ("fork", "born"):
                found.add(child)
        return found - programs

    def _end_programs(self) -> None:
        """End those that are members of the scope: nobody else does."""
        for pid in _children():
            if not is_guardian(pid):
                self._shim.note("gone", value=pid)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _end_all(self) -> None:
        while children := _children():
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _reap(self) -> None:
        for outcome in lastout.reap(self._world.root).failed:
            self._problems.append(f"an undisturbed reap failed: {outcome}")


def _children() -> list[int]:
    """The children of this process, adopted ones included; it has one thread."""
    return list(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


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
    explorer.warm_up()
    for name in names:
        step = STEPS[name]
        for beside in (False, True) if step.alone else (True,):
            for harm in HARMS:
                one_of = every(how_many, _SHORT) * (1 if how_many == "all" else step.every)
                print(json.dumps(_explore(explorer, step, beside, harm, one_of)), flush=True)


def every(how_many: str, usually: int) -> int:
    """Of how many calls one is to be looked at: "all", "some", or that number."""
    return {"all": 1, "some": usually}.get(how_many) or int(how_many)


def _explore(
    explorer: Explorer, step: Step, beside: bool, harm: str, one_of: int
) -> dict[str, object]:
    points, wrong = 0, []
    title = f"{step.name}{' beside another' * beside}, {harm}"
    at = first_call(title, one_of)
    while (result := explorer.explore(Point(step, beside, HARMS[harm], at))).reached:
        points += 1
        if result.violations:
            wrong.append([f"{title} at {at} ({result.call})", *result.violations])
        at += one_of
    return {"what": harm, "points": points, "wrong": wrong}


def first_call(title: str, one_of: int) -> int:
    """Where to begin if only one of so many calls is looked at: not the same for all."""
    return 1 + crc32(title.encode()) % one_of


if __name__ == "__main__":
    main(*sys.argv[1:])
