"""Two processes: one stopped at each of its calls while the other does a whole step.

      first    ----- calls -----|stopped at the n-th|.............|goes on, or is killed|--
      second                                        |a whole step |
                                                     (or until it waits for the first)

Runs as `explore` does, and prints one line of JSON for each pair of steps:

    python -m crash.interleave DIRECTORY all|some|N FIRST...
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import lastout
from lastout import errors

from .explore import Explorer, Result, die, every, first_call
from .shim import HARMS, STOP, Harm
from .steps import STEPS

if TYPE_CHECKING:
    from .shim import Event
    from .steps import Step

# Those that meet others: in the scope's lock, or in what they look at.
PAIRED = (
    "join",
    "join, and clean after the dead",
    "fork",
    "fork and leave",
    "make: directory",
    "make: something after others",
    "release: directory",
    "keep",
    "look",
    "leave",
    "reap",
    "remove garbage",
)
ENDS = ("the first goes on", "the first is killed", "the first goes on, the second is harmed")
_SHORT = 67  # of how many schedules a short run looks at one


class Schedule(NamedTuple):
    """One order of events.

    Attributes:
        first: the step that is stopped.
        second: the step that is done meanwhile.
        at: at which of its calls the first is stopped.
        end: what becomes of the first, one of `ENDS`.
    """

    first: Step
    second: Step
    at: int
    end: str

    @property
    def second_harm(self) -> tuple[int, Harm]:
        """At which call what is done to the second; nothing at call 0."""
        if self.end != ENDS[2]:
            return 0, Harm(STOP)
        # Any choice will do, as long as it is the same in each run.
        draw = crc32(f"{self.first.name}/{self.second.name}/{self.at}".encode())
        names = list(HARMS)
        return 1 + draw // len(names) % 40, HARMS[names[draw % len(names)]]

    def __str__(self) -> str:
        return f"{self.first.name}, stopped at {self.at}, {self.second.name}, {self.end}"


class Player:
    """One of the two processes, as the explorer sees it."""

    def __init__(self, explorer: Pairs, step: Step, at: int, harm: Harm) -> None:
        self.over = False
        self._told, said = os.pipe()
        go, self._go = os.pipe()
        home, self._home = os.pipe()
        mine = (self._told, self._go, self._home)

        def play() -> None:
            for number in mine:
                os.close(number)
            explorer.play(step, at, harm, said, go, home)

        self.pid = explorer._fork(play)
        for number in (said, go, home):
            os.close(number)

    def hears(self) -> str:
        """The next thing that it says: ready, busy (waits for a lock), done; or nothing more."""
        words = {b"r": "ready", b"b": "busy", b"d": "done", b"": "dead"}
        word = words[os.read(self._told, 1)]
        self.over = word in ("done", "dead")
        return word

    def start(self) -> None:
        """Have it begin its step."""
        os.write(self._go, b".")

    def send_home(self) -> None:
        """Have it leave, as a process does that ends."""
        for number in (self._told, self._go, self._home):
            os.close(number)


class Pairs(Explorer):
    """Explores schedules, one after the other."""

    def interleave(self, schedule: Schedule) -> Result:
        """Play one, and judge."""
        result = self._judged(lambda: self._play(schedule))
        stops = [event.text for event in self._shim.events() if _is_stop(event)]
        return Result(bool(stops), "".join(stops), result.violations)

    def _play(self, schedule: Schedule) -> None:
        if schedule.first.dead or schedule.second.dead:
            self._wait(self._fork(lambda: (die(self._world), self._kill_myself())))
        first = Player(self, schedule.first, schedule.at, Harm(STOP))
        first.hears()
        second = Player(self, schedule.second, *schedule.second_harm)
        second.hears()
        first.start()
        # Stopped at that call, or by itself when it is done.
        _, status = os.waitpid(first.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), self._told()
        second.start()
        second.hears()
        if schedule.end == ENDS[1]:
            self._shim.note("gone", value=first.pid)  # before it is: the second may be quick
        os.kill(first.pid, signal.SIGKILL if schedule.end == ENDS[1] else signal.SIGCONT)
        for player in (first, second):
            while not player.over:
                player.hears()
        for player in (first, second):
            player.send_home()
        for player in (first, second):
            self._wait(player.pid)
        self._wait_for_orphans({first.pid, second.pid})
        if schedule.end == ENDS[0] and not (schedule.first.dead or schedule.second.dead):
            self._shim.note("settled")  # the last one out did it
        for _ in range(2):
            self._reap()
            self._shim.note("settled")

    def play(self, step: Step, at: int, harm: Harm, said: int, go: int, home: int) -> None:
        """Be one of the two."""
        me = os.getpid()
        act = step.act(self._world)
        next(act)
        os.write(said, b"r")
        os.read(go, 1)
        self._shim.bell(said)
        self._shim.arm(at, harm)
        try:
            next(act, None)
        except (errors.LastoutError, OSError):
            if not harm.fails:
                raise
        self._shim.disarm()
        if os.getpid() == me:
            os.write(said, b"d")
            if at and harm.mode == STOP and not any(map(_is_stop, self._shim.events())):
                os.kill(me, signal.SIGSTOP)  # it has fewer calls
            os.read(home, 1)
        lastout._run_exitfuncs()


def _is_stop(event: Event) -> bool:
    return event.what == "fault" and event.value == STOP


def main(base: str, how_many: str, *firsts: str) -> None:
    """Explore pairs of steps; one line of JSON for each pair and end."""
    pairs = Pairs(Path(base))
    pairs.warm_up()
    one_of = every(how_many, _SHORT)
    for first in firsts:
        for second in PAIRED:
            for end in ENDS:
                told = _explore(pairs, Schedule(STEPS[first], STEPS[second], 0, end), one_of)
                print(json.dumps(told), flush=True)


def _explore(pairs: Pairs, schedule: Schedule, one_of: int) -> dict[str, object]:
    points, wrong = 0, []
    at = first_call(str(schedule), one_of)
    while (result := pairs.interleave(schedule._replace(at=at))).reached:
        points += 1
        if result.violations:
            wrong.append([f"{schedule._replace(at=at)} ({result.call})", *result.violations])
        at += one_of
    return {"what": schedule.end, "points": points, "wrong": wrong}


if __name__ == "__main__":
    main(*sys.argv[1:])
