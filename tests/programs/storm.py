"""The processes of a storm: each joins, makes things, starts others, and ends somehow.

What a process does is drawn from the seed and its place in the tree, so that a seed
gives the same decisions again; what the kernel makes of them differs.  Each one says
what it does, before it does it where that matters:

    joining PID                       a worker of a pool, which may end it before it is "up"
    up PLACE PID                      a member from now on, at the latest
    making ID PID KIND LIFETIME WHERE about to be recorded
    made ID PID AFTER                 recorded and made; AFTER goes before it, or "-"
    releasing ID PID                  may be cleaned from now on
    ending PID                        its exit handlers run, also because a pool ends it
    leaving PLACE PID, left PLACE PID or ends in another way; has left
    ran ID PID                        cleaned by that process
    lost WHERE PID                    not there, though its maker had neither left nor released it
    open PID WHAT                     has this of lastout's open, and should not; or no journal
    outside PLACE PID                 was started by one that had left, and does nothing
    failed PLACE PID ERROR            something raised that should not
"""

from __future__ import annotations

import os
import random
import signal
import sys
from functools import partial
from typing import Any

import kin
from say import say

import lastout

KINDS = [
    "multiprocessing:fork",
    "multiprocessing:forkserver",
    "multiprocessing:spawn",
    "multiprocess:fork",
    "multiprocess:forkserver",
    "multiprocess:spawn",
    "multiprocessing:fork:Pool",
    "multiprocess:spawn:Pool",
    "multiprocessing:forkserver:ProcessPoolExecutor",
    "os.fork",
    "os.fork",
    "loky",
    "joblib",
    "pebble",
]
THINGS = ["file", "directory", "nested", "shared_memory", "command", "pair", "callback", "popen"]
WEIGHTS = [4, 4, 4, 2, 3, 3, 1, 1]
ENDS = ["leave", "leave", "return", "exit", "_exit", "kill", "terminate"]


def ran(name: str, maker: int, log: str) -> None:
    """The callback of a thing, in its maker or in a process that was started for it."""
    os.environ["SAY_TO"] = log  # it has the environment of whoever cleans
    say("ran", name, maker if os.getpid() == maker else os.getppid())


class Process:
    """What one process of the storm does."""

    def __init__(self, place: str, depth: int, seed: str) -> None:
        self.place = place
        self.depth = depth
        self.seed = seed
        self.draw = random.Random(f"{seed}/{place}")
        self.scope = lastout.current_scope()
        self.mine: dict[str, object] = {}
        self.number = 0

    def live(self) -> None:
        """All of its life, but for the end."""
        # Runs before its scope is left: what is registered last runs first.
        lastout.register(say, "ending", os.getpid())
        if self.draw.random() < 0.5:
            lastout.handle_signals()
        say("up", self.place, os.getpid())
        self.look_at_descriptors()
        for _ in range(self.draw.randint(1, 5)):
            self.make(self.draw.choices(THINGS, WEIGHTS)[0])
        for number in range(self.draw.randint(1, 3) if self.depth else 0):
            kind = self.draw.choice(KINDS)
            # A child that is forked there takes its SystemExit for the answer to the task.
            depth = 0 if kind == "pebble" else self.depth - 1
            self.start(kind, (f"{self.place}.{number}", depth, self.seed, self.scope))
            self.make(self.draw.choices(THINGS, WEIGHTS)[0])
        if self.mine and self.draw.random() < 0.3:
            name = self.draw.choice(sorted(self.mine))
            say("releasing", name, os.getpid())
            released: Any = self.mine.pop(name)
            released.release()
            # With all that lies in it.
            inside = f"{released.location}/"
            self.mine = {
                one: thing for one, thing in self.mine.items() if not str(thing).startswith(inside)
            }
        for thing in self.mine.values():
            if isinstance(thing, lastout.Artifact) and thing.kind in ("file", "directory"):
                self.check(thing)
        self.look_at_descriptors()

    def start(self, kind: str, args: tuple[object, ...]) -> None:
        """Start a child, and wait until it has ended, or its pool is broken."""
        try:
            kin.start(kind, live, *args, initializer=partial(enter, self.scope.worker))
        except Exception as error:
            say("broken", kind, type(error).__name__)

    def check(self, thing: lastout.Artifact) -> None:
        if not os.path.lexists(thing):
            say("lost", thing, os.getpid())

    def look_at_descriptors(self) -> None:
        """A forked child has closed its parent's; between two calls only one's journal is open."""
        links = [_target(name) for name in os.listdir("/proc/self/fd")]
        ours = [link for link in links if link.startswith(os.path.dirname(self.scope.path))]
        if len(ours) != 1 or not ours[0].endswith(".journal"):
            say("open", os.getpid(), *map(os.path.basename, ours or ["nothing"]))

    def end(self) -> None:
        """One of the ways in which processes end."""
        how = self.draw.choice(ENDS)
        say("leaving", self.place, os.getpid())
        if how == "leave":
            self.scope.leave()
            say("left", self.place, os.getpid())
        elif how == "exit":
            sys.exit(3)
        elif how == "_exit":
            os._exit(0)
        elif how in ("kill", "terminate"):
            os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGTERM)

    # Things.

    def make(self, kind: str) -> None:
        lifetime = self.draw.choice(["scope", "scope", "member"])
        if kind == "nested":
            outer = self.one("directory", lifetime)
            self.one("file", self.draw.choice(["scope", "member"]), inside=outer)
        elif kind == "pair":
            first = self.one("command", lifetime)
            self.one("command", lifetime, after=first)
        else:
            self.one(kind, lifetime)

    def one(
        self,
        kind: str,
        lifetime: str,
        inside: lastout.Artifact | None = None,
        after: lastout.Artifact | None = None,
    ) -> lastout.Artifact:
        """Make one, and say so before and after."""
        self.number += 1
        name = f"{self.place}-{os.getpid()}-{self.number}"
        directory = str(inside) if inside else os.environ["STORM_AREA"]
        where = f"{directory}/{name}"
        place = {"shared_memory": f"/dev/shm/{self.segment(name)}"}.get(kind, where)
        lifetime = "scope" if kind == "callback" else lifetime
        say("making", name, os.getpid(), kind, lifetime, place)
        artifact = getattr(self, f"make_{kind}")(name, where, lifetime=lifetime, after=after or ())
        earlier = next((one for one, thing in self.mine.items() if thing is after), "-")
        say("made", name, os.getpid(), earlier)
        if after is None:
            self.mine[name] = artifact
        return artifact  # type: ignore[no-any-return]

    def segment(self, name: str) -> str:
        return f"storm-{os.environ['LASTOUT_TEST'][:8]}-{name}"

    def make_file(self, _name: str, where: str, **options: object) -> object:
        return self.scope.file(where, **options)  # type: ignore[arg-type]

    def make_directory(self, _name: str, where: str, **options: object) -> object:
        made = self.scope.directory(where, **options)  # type: ignore[arg-type]
        for name in "abc":
            (made / name).touch()
        return made

    def make_shared_memory(self, name: str, _where: str, **options: object) -> object:
        made = self.scope.shared_memory(64, self.segment(name), **options)  # type: ignore[arg-type]
        made.close()
        return self.scope.artifact_of(made)

    def make_command(self, name: str, _where: str, **options: object) -> object:
        script = 'echo "ran $1 $PPID" >> "$0"'
        argv = ["/bin/sh", "-c", script, os.environ["SAY_TO"], name]
        return self.scope.command(argv, **options)  # type: ignore[arg-type]

    def make_callback(self, name: str, _where: str, **_: object) -> object:
        return self.scope.callback(ran, name, os.getpid(), os.environ["SAY_TO"])

    def make_popen(self, name: str, _where: str, **options: object) -> object:
        argv = ["/bin/sleep", "1000"]
        made = self.scope.popen(argv, **options)  # type: ignore[arg-type]
        return self.scope.artifact_of(made)


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:  # that of the listing itself
        return ""


def enter(join: Any, *_: object) -> None:
    """A worker of a pool joins, and cleans up after the dead as it does so."""
    say("joining", os.getpid())
    join()


def live(place: str, depth: int, seed: str, *_: object) -> None:
    """What each process of the tree does; its scope came with it, in one way or another."""
    try:
        try:
            process = Process(place, depth, seed)
        except lastout.errors.UsageError:
            say("outside", place, os.getpid())
            sys.exit(5)
        process.live()
        process.end()
    except Exception as error:
        say("failed", place, os.getpid(), f"{type(error).__name__}: {error}")
        # Not further up: in a forked child those are its parent's affairs.
        sys.exit(4)


def main(seed: str, place: str, depth: str, guardian: str) -> None:
    """The root of one tree."""
    with lastout.Scope("storm", guardian=guardian == "guarded"):
        live(place, int(depth), seed)
