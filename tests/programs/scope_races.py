"""Threads that join and leave the same scopes and others, make, release, keep and fork at once.

Each looks at what is its own: while it has not left, nothing of it may go.  At the end of a
round, when all have left, nothing may be there, and each cleanup has to have been called once.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import random
import sys
import threading
import traceback
import warnings
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import lastout

if TYPE_CHECKING:
    from lastout import Artifact, Scope

THREADS = 8
ROUND = 2.0  # seconds; then all is counted
CHILD_TIME = 30.0
# Without one, a child that is forked beside busy threads may hang in CPython's own dicts, so
# there is one fork in each round, when the threads are done.
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
NAMES = ("one", "another", "third")
CLEANED = "cleaned"  # a file: the numbers of the cleanups that were called

forking = threading.Lock()
called_for: list[int] = []
# What others may release too, by scope.
common: dict[str, list[Artifact]] = {name: [] for name in NAMES}


def clean(number: int, log: str) -> None:
    """In whichever process: a child may be the last one out of a scope."""
    import os

    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)


class Worker:
    """What one thread does in one round.

    Args:
        number: which thread it is.
        draw: what all is drawn from.
        area: a directory for things at paths of their own.
    """

    def __init__(self, number: int, draw: random.Random, area: str) -> None:
        self.number = number
        self.draw = draw
        self.area = area
        self.failures: list[str] = []
        self.lives = self.callbacks = 0

    def work(self, start: threading.Barrier, end: float) -> None:
        try:
            start.wait(60)
            while not self.lives or monotonic() < end:
                self.lives += 1
                self.live(self.draw.choice(NAMES))
        except BaseException:
            self.failures.append(traceback.format_exc())

    def live(self, name: str) -> None:
        """Join, make, take back, look, leave."""
        scope = lastout.Scope(name)
        mine = [self.make(scope) for _ in range(self.draw.randrange(4))]
        self.call_back(scope)
        for thing in list(mine):
            fate = self.draw.random()
            if fate < 0.2:
                mine.remove(thing)
                thing.release()
                assert not os.path.exists(thing), f"{thing} is released and there"
            elif fate < 0.3:
                mine.remove(thing)
                thing.keep()
                self.take(thing)
            elif fate < 0.4:
                mine.remove(thing)
                common[name].append(thing)
        self.release_common(name)
        if self.draw.random() < 0.2:
            self.look(scope)
        if HAS_GIL and self.draw.random() < 0.05:
            fork(scope, mine)
        for thing in mine:
            assert os.path.exists(thing), f"{thing} is gone before its scope was left"
        report = scope.leave()
        assert report.ok, report

    def make(self, scope: Scope) -> Artifact:
        make = self.draw.choice([scope.directory, scope.file])
        lifetime = self.draw.choice(["scope", "member"])
        if self.draw.random() < 0.5:
            return make(lifetime=lifetime)
        path = os.path.join(self.area, f"{self.number}-{self.draw.getrandbits(64):x}")
        return make(path, lifetime=lifetime)

    def call_back(self, scope: Scope) -> None:
        """A cleanup to be called, now and then by two threads that both release it."""
        if self.draw.random() < 0.3:
            self.callbacks += 1
            number = self.number * 10**6 + self.callbacks
            callback = scope.callback(clean, number, os.path.abspath(CLEANED))
            called_for.append(number)
            if self.draw.random() < 0.5:
                common[scope.name].append(callback)
                callback.release()

    def release_common(self, name: str) -> None:
        try:
            thing = common[name].pop()
        except IndexError:
            return
        thing.release()

    def take(self, thing: Artifact) -> None:
        """It is kept, so it is the caller's to remove."""
        assert os.path.exists(thing), f"{thing} is kept and gone"
        (os.rmdir if thing.kind == "directory" else os.unlink)(thing)

    def look(self, scope: Scope) -> None:
        assert scope.members()
        scope.artifacts()
        assert pickle.loads(pickle.dumps(scope)).path == scope.path
        lastout.current_scope()


def fork(scope: Scope, things: list[Artifact]) -> None:
    # From 3.12 filelock 4.3 refuses a fork while another thread is in the middle of one.
    with forking:
        pid = os.fork()
        if not pid:
            live_as_child(scope, things)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"a child ended with status {status}"


def live_as_child(scope: Scope, things: list[Artifact]) -> None:
    """A child is a member, makes something, joins what its parent's threads may be joining."""
    status = 1
    try:
        faulthandler.dump_traceback_later(CHILD_TIME, exit=True)
        own = scope.file(lifetime="member")
        for name in NAMES:
            with lastout.Scope(name) as other:
                assert os.path.exists(other.directory())
        for thing in [*things, own]:
            assert os.path.exists(thing), f"{thing} is gone in a child"
        report = lastout.unwind()
        assert report.ok, report
        assert not os.path.exists(own), "what was a child's is there when it has left"
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def hammer(seed: str, area: str, seconds: float) -> tuple[int, list[str]]:
    """One round: how often a scope was joined, and what went wrong."""
    called_for.clear()
    for things in common.values():
        things.clear()
    draws = [random.Random(f"{seed}/{number}") for number in range(THREADS)]
    workers = [Worker(number, draw, area) for number, draw in enumerate(draws)]
    start, end = threading.Barrier(THREADS), monotonic() + seconds
    threads = [threading.Thread(target=worker.work, args=(start, end)) for worker in workers]
    with lastout.Scope(NAMES[0]) as scope:
        mine = [scope.directory(), scope.file(lifetime="member")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        fork(scope, mine)
    found = [text for worker in workers for text in worker.failures]
    return sum(worker.lives for worker in workers), found or left(area)


def left(area: str) -> list[str]:
    """What there is of it though all have left, and what was called too often or never."""
    root = os.environ["LASTOUT_ROOT"]
    found = [f"{path} is left" for place in (root, area) for path in os.listdir(place)]
    if lastout._ncallbacks():
        found.append(f"{lastout._ncallbacks()} exit handlers are left")
    times = Counter(map(int, Path(CLEANED).read_text().split()))
    Path(CLEANED).write_text("")
    wrong = [number for number in called_for if times[number] != 1]
    return found + [f"cleanup {number} was called {times[number]} times" for number in wrong]


def main(seconds: float, seed: str) -> None:
    """Hammer for that long; ends with status 1, and what it was, once something is wrong."""
    sys.setswitchinterval(1e-5)  # with a GIL threads change often
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
    area = os.path.abspath("area")
    os.mkdir(area)
    Path(CLEANED).write_text("")
    end = monotonic() + seconds
    rounds = lives = 0
    while not rounds or monotonic() < end:
        more, found = hammer(f"{seed}/{rounds}", area, min(ROUND, seconds))
        lives += more
        rounds += 1
        if found:
            print(f"round {rounds} of seed {seed}:", *found[:20], sep="\n")
            sys.exit(1)
    print(f"{lives} times joined in {rounds} rounds by {THREADS} threads, from seed {seed}")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
