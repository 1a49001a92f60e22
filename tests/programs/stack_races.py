"""Threads that register, remove, count, unwind and fork at once, for a while.

What happens goes into one log, and `wrong` judges it: a list's `append` is one step, with
a GIL and without, so the order of the log is one that really was.

    in     registered, by which thread, as its which one    (after `register` returned)
    out    about to be unregistered
    run    it runs
    end    it has run
"""

from __future__ import annotations

import faulthandler
import functools
import os
import random
import sys
import threading
import traceback
import warnings
from collections import Counter, defaultdict
from time import monotonic

import lastout

THREADS = 8
ROUND = 1.0  # seconds; then all is counted
AT_ONCE = 2000  # events of one thread in a round: 100,000 newcomers in a row are no race
NESTED = 5  # of each thread, calls that may lie in each other: Python allows some 120
INHERITED = -1  # as whose the one that children get too stands in the log
CHILD_TIME = 30.0
# Without one, a child that is forked beside busy threads may hang in CPython's own dicts, so
# there is one fork in each round, when the threads are done.
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()

Event = tuple[str, int, int]
log: list[Event] = []


def wrong(events: list[Event], cleared: bool = False) -> list[str]:
    """What of it must not be; where all were forgotten at some time, none can be lost."""
    runs = Counter(event[1:] for event in events if event[0] == "run")
    removed = {event[1:] for event in events if event[0] == "out"}
    registered = [event[1:] for event in events if event[0] == "in"]
    found = [f"{which} ran {number} times" for which, number in runs.items() if number > 1]
    if not cleared:
        found += [f"{one} is lost" for one in registered if one not in runs and one not in removed]
    return found + _out_of_order(events, set(runs))


def _out_of_order(events: list[Event], ran: set[tuple[int, int]]) -> list[str]:
    """Of one thread's handlers a later one runs first, if it was there when one was chosen.

    The next one is chosen when the one before has ended: what was in by then counts.
    """
    found: list[str] = []
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    newcomers: list[tuple[int, int]] = []
    over = set()
    for what, thread, number in events:
        if what == "in" and (thread, number) in ran:
            newcomers.append((thread, number))
        elif what == "end":
            for of, newcomer in newcomers:
                if (of, newcomer) not in over:
                    waiting[of].append(newcomer)
            newcomers.clear()
        elif what == "run":
            over.add((thread, number))
            later = [other for other in waiting[thread] if other > number]
            if later:
                found.append(f"{(thread, number)} ran before {later}")
            if number in waiting[thread]:
                waiting[thread].remove(number)
    return found


class Odd:
    """A callable that has to be compared one by one."""

    def __init__(self, thread: int, number: int) -> None:
        self.which = thread, number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and other.which == self.which

    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None:
        note(*self.which)


def note(thread: int, number: int) -> None:
    log.append(("run", thread, number))
    log.append(("end", thread, number))


class Worker:
    """What one thread does in one round."""

    def __init__(self, number: int, seed: str, clears: bool) -> None:
        self.thread = number
        self.draw = random.Random(f"{seed}/{number}")
        self.registered = 0
        self.nested = 0
        self.removable: list[tuple[int, object]] = []
        self.failures: list[str] = []
        # In some rounds the stack grows long, with many holes, before it is unwound.
        often = random.Random(seed).choice([0.02, 0.2, 5])
        acts = {
            self.plain: 30,
            self.single: 20,
            self.odd: 4,
            self.registering: 5,
            self.remove: 25,
            self.count: 10,
            self.unwind: often,
            self.unwinding: 1,
            self.timed: 0.3,
            fork: 0.2 if HAS_GIL else 0,
            self.clear: 0.2 if clears else 0,
        }
        self.acts, self.weights = list(acts), list(acts.values())

    def work(self, start: threading.Barrier, end: float) -> None:
        try:
            start.wait(60)
            for _ in range(AT_ONCE):
                if monotonic() > end:
                    return
                [act] = self.draw.choices(self.acts, self.weights)
                act()
        except BaseException:
            self.failures.append(traceback.format_exc())

    def _next(self) -> int:
        self.registered += 1
        return self.registered

    def _in(self, number: int) -> None:
        log.append(("in", self.thread, number))

    def plain(self) -> None:
        """All of this kind are one callable, with other arguments."""
        number = self._next()
        lastout.register(note, self.thread, number)
        self._in(number)

    def single(self) -> None:
        number = self._next()
        call = lastout.register(functools.partial(note, self.thread, number))
        self._in(number)
        self.removable.append((number, call))

    def odd(self) -> None:
        number = self._next()
        lastout.register(Odd(self.thread, number))
        self._in(number)
        self.removable.append((number, Odd(self.thread, number)))

    def timed(self) -> None:
        number = self._next()
        lastout.handler(timeout=60.0, args=(self.thread, number))(note)
        self._in(number)

    def registering(self) -> None:
        """One that registers another one: by the thread that unwinds, so of nobody's order."""
        number, more = self._next(), self._next()

        def handler() -> None:
            log.append(("run", self.thread, number))
            lastout.register(note, THREADS + self.thread, more)
            log.append(("in", THREADS + self.thread, more))
            log.append(("end", self.thread, number))

        lastout.register(handler)
        self._in(number)

    def unwinding(self) -> None:
        """One that runs all below it; a few at once, for each is a call in the one above it."""
        if self.nested == NESTED:
            return
        self.nested += 1
        number = self._next()

        def handler() -> None:
            log.append(("run", self.thread, number))
            lastout._run_exitfuncs()
            self.nested -= 1
            log.append(("end", self.thread, number))

        lastout.register(handler)
        self._in(number)

    def remove(self) -> None:
        if self.removable:
            place = self.draw.randrange(len(self.removable))
            number, func = self.removable.pop(place)
            log.append(("out", self.thread, number))
            lastout.unregister(func)

    def count(self) -> None:
        assert lastout._ncallbacks() >= 0

    def unwind(self) -> None:
        report = lastout.unwind()
        assert report.ok, report

    def clear(self) -> None:
        lastout._clear()


def fork() -> None:
    pid = os.fork()
    if not pid:
        live_as_child()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"a child ended with status {status}"


def live_as_child() -> None:
    """Run what a child registers and what it inherits, nothing of its parent's; and end."""
    status = 1
    try:
        faulthandler.dump_traceback_later(CHILD_TIME, exit=True)
        before = len(log)
        for number in range(3):
            lastout.register(note, INHERITED - 1, number)
        lastout.register(print, "removed")
        lastout.unregister(print)
        report = lastout.unwind()
        ran = [event[1:] for event in log[before:] if event[0] == "run"]
        mine = [(INHERITED - 1, number) for number in (2, 1, 0)]
        assert report.ok, report
        assert ran[:3] == mine, ran
        assert len(ran) <= 4, ran
        assert all(thread == INHERITED for thread, _ in ran[3:]), ran
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def hammer(seed: str, seconds: float) -> list[str]:
    """One round; what went wrong in it."""
    clears = seed.endswith("3")
    log.clear()
    if not seed.endswith("/0"):  # in the first one all register for the first time at once
        lastout.handler(inherit=True, args=(INHERITED, 0))(note)
        log.append(("in", INHERITED, 0))
    workers = [Worker(number, seed, clears) for number in range(THREADS)]
    start, end = threading.Barrier(THREADS), monotonic() + seconds
    threads = [threading.Thread(target=worker.work, args=(start, end)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fork()  # with all that is left on the stack
    assert lastout.unwind().ok
    assert lastout._ncallbacks() == 0
    return [*wrong(log, clears), *(text for worker in workers for text in worker.failures)]


def main(seconds: float, seed: str) -> None:
    """Hammer for that long; ends with status 1, and what it was, once something is wrong."""
    sys.setswitchinterval(1e-5)  # with a GIL threads change often
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
    end = monotonic() + seconds
    rounds = events = 0
    while not rounds or monotonic() < end:
        found = hammer(f"{seed}/{rounds}", min(ROUND, seconds))
        events += len(log)
        rounds += 1
        if found:
            print(f"round {rounds} of seed {seed}:", *found[:20], sep="\n")
            sys.exit(1)
    print(f"{events} events in {rounds} rounds by {THREADS} threads, from seed {seed}")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
