"""Two processes: one stopped at each of its calls while the other does a whole step.

      first    ----- calls -----|stopped at the n-th|.............|goes on, or is killed|--
      second                                        |a whole step |
                                                     (or until it waits for the first)

The first is whichever process the step harms: the one that does it, its child, a guardian
or a job of it.  Runs as `explore` does, and prints a line of JSON for each first step and end:

    python -m crash.interleave DIRECTORY some|all|every|N FIRST...
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import lastout
from lastout import errors

from .explore import Explorer, Result, every, first_call
from .family import is_stop, state_of
from .shim import HARMS, ITSELF, STOP, Harm
from .steps import STEPS
from .world import die

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .world import Step

# What the others of these do is the same where nobody is harmed.
SECONDS = tuple(name for name, step in STEPS.items() if step.whose == ITSELF)
# Those that meet others most: in the scope's lock, or in what they look at.
CLOSEST = (
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
_SHORT = 151  # of how many schedules a short run looks at one
_FAR = 29  # how many times as rarely at one in which not both are among those


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
        """The next that it says: ready, stopped, busy (waits for a lock), done; or no more."""
        words = {b"r": "ready", b"s": "stopped", b"b": "busy", b"d": "done", b"": "dead"}
        word = words[os.read(self._told, 1)]
        self.over = word in ("done", "dead")
        return word

    def start(self) -> None:
        """Have it begin its step."""
        os.write(self._go, b".")

    def runs_into_a_stop(self) -> bool:
        """Have it begin; whether somebody is stopped before it is done."""
        self.start()
        while (word := self.hears()) == "busy":
            continue  # with a child of its own
        return word == "stopped"

    def finishes(self) -> None:
        """Hear it until its step is over."""
        while not self.over:
            self.hears()

    def send_home(self) -> None:
        """Have it leave, as a process does that ends; without its step, if that was not begun."""
        for number in (self._told, self._go, self._home):
            os.close(number)


class Pairs(Explorer):
    """Explores schedules, one after the other."""

    def interleave(self, schedule: Schedule) -> Result:
        """Play one, and judge."""
        result = self._judged(lambda: self._play(schedule))
        stops = [event.text for event in self._shim.events() if is_stop(event)]
        return Result(bool(stops), "".join(stops), result.violations)

    def _play(self, schedule: Schedule) -> None:
        steps = schedule.first, schedule.second
        with self._neighbour(not all(step.alone for step in steps)) as neighbour:
            if any(step.dead for step in steps):
                self._wait(self._fork(lambda: (die(self._world), self._kill_myself())))
            # The first is ready last: nothing happens between that and its start.
            second = Player(self, schedule.second, *schedule.second_harm)
            second.hears()
            first = Player(self, schedule.first, schedule.at, Harm(STOP))
            first.hears()
            if met := first.runs_into_a_stop():
                self._meet(second, schedule.end)
                first.finishes()
                second.finishes()
            if self._shim.calm() and not met:
                # A guardian, when the first was done already: too late to meet anybody.
                os.kill(self._stopped(), signal.SIGCONT)
            for player in (first, second):
                player.send_home()
            for player in (first, second):
                self._wait(player.pid)
            self._wait_for_orphans({first.pid, second.pid, neighbour})
            if self._was_left(schedule):
                self._shim.note("settled")  # the last one out did it
            self._reap()
            self._shim.note("settled")
        self._settle(neighbour)

    def _meet(self, second: Player, end: str) -> None:
        """Have the second do its step, or as much as it can, while somebody is stopped."""
        victim = self._stopped()
        second.start()
        second.hears()
        if end == ENDS[1]:
            self._shim.note("gone", value=victim)  # before it is: the second may be quick
        os.kill(victim, signal.SIGKILL if end == ENDS[1] else signal.SIGCONT)

    def _stopped(self) -> int:
        """The process that has said that it stops, once it has."""
        while not (stops := [event.pid for event in self._shim.events() if is_stop(event)]):
            continue
        while state_of(stops[0]) != "T":
            continue  # it is a few calls away from that, and may be nobody's child here
        return stops[0]

    def _was_left(self, schedule: Schedule) -> bool:
        """Whether all have left in good order, and nobody needs to reap."""
        steps = schedule.first, schedule.second
        in_order = schedule.end == ENDS[0] and not any(step.dead for step in steps)
        return in_order and not any(event.what == "killed" for event in self._shim.events())

    def play(self, step: Step, at: int, harm: Harm, said: int, go: int, home: int) -> None:
        """Be one of the two."""
        me = os.getpid()
        act = step.act(self._world)
        next(act)
        os.write(said, b"r")
        if os.read(go, 1):
            self._shim.bell(said)
            self._shim.arm(at, harm, step.whose)
            try:
                next(act, None)
            except (errors.LastoutError, OSError):
                if not harm.fails:
                    raise
            self._shim.disarm()
            if os.getpid() == me:
                os.write(said, b"d")
                os.read(home, 1)
        lastout._run_exitfuncs()


def main(base: str, how_many: str, *firsts: str) -> None:
    """Explore pairs of steps; one line of JSON for each first step and end."""
    pairs = Pairs(Path(base))
    pairs.warm_up(STEPS.values())
    for name in firsts:
        close = CLOSEST if name in CLOSEST else ()
        far = tuple(second for second in SECONDS if second not in close)
        for seconds, many in (close, 1), (far, _FAR):
            one_of = every(how_many, _SHORT * many, many)
            for told in _explore(pairs, STEPS[name], seconds, one_of):
                print(json.dumps(told), flush=True)


def _explore(
    pairs: Pairs, first: Step, seconds: Sequence[str], one_of: int
) -> Iterator[dict[str, object]]:
    points, wrong = Counter[str](), []
    for schedule in _schedules(pairs, first, seconds, one_of):
        result = pairs.interleave(schedule)
        points[schedule.end] += result.reached
        if result.violations:
            wrong.append([f"{schedule} ({result.call})", *result.violations])
    for end in ENDS:
        yield {"what": end, "points": points[end], "of": points[end] * one_of, "wrong": wrong}
        wrong = []


def _schedules(
    pairs: Pairs, first: Step, seconds: Sequence[str], one_of: int
) -> Iterator[Schedule]:
    """One of so many: call after call of the first, and for each all seconds and ends."""
    # Where somebody died before, for the second one's sake, the first has more to do.
    dead = pairs.calls(first._replace(dead=True), beside=True)
    calls = dead if first.dead else pairs.calls(first, beside=True)
    begin = first_call(first.name, one_of) - 1
    for number in range(begin, dead * len(seconds) * len(ENDS), one_of):
        at, rest = divmod(number, len(seconds) * len(ENDS))
        second, end = STEPS[seconds[rest // len(ENDS)]], ENDS[rest % len(ENDS)]
        if at < (dead if second.dead else calls):
            yield Schedule(first, second, at + 1, end)


if __name__ == "__main__":
    main(*sys.argv[1:])
