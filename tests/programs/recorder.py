"""Two members that record callbacks of every sort, and are killed.

It runs in a directory of its own, with whichever lastout is found, and kills itself when all is
recorded.  What the callbacks are going to note stands in the file `expected` then.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import multiprocess
from keepsakes import Keepsake, line, note

import lastout
from lastout import Artifact, Report, current_scope
from lastout.errors import CleanupBlocked, ScopeBusy
from lastout.integrations import pools

if TYPE_CHECKING:
    from collections.abc import Callable

# The name of the machine is in what is recorded, and is nobody's business.
REAL = os.uname()
os.uname = lambda: os.uname_result((REAL[0], "machine", *REAL[2:]))

PUBLIC = sorted([*lastout.__all__, "_run_exitfuncs", "_clear", "_ncallbacks"])


class Mine(Report):
    """A class of the main script, made of one of lastout's."""


def uses(sort: str) -> None:
    """A function of the main script whose globals hold things of lastout's."""
    note(sort, *used())


def used() -> tuple[object, ...]:
    return Artifact, ScopeBusy, current_scope, Mine([])


def expect(sort: str, *things: object, **named: object) -> None:
    """Say what is going to be noted."""
    with open("expected", "a") as file:
        file.write(line(sort, *things, **named) + "\n")


class Recorder:
    """Records calls in a scope, and what they are going to note."""

    def __init__(self, scope: lastout.Scope) -> None:
        self.scope = scope
        where = f"things-{os.getpid()}"
        self.directory = scope.directory(where)
        self.inside = scope.file(f"{where}/inside")

    def note(self, sort: str, *things: object, **named: object) -> None:
        """One that calls `note` itself, which is found by its name."""
        self.scope.callback(note, sort, *things, **named)
        expect(sort, *things, **named)

    def other(self, func: Callable[..., object], sort: str, *things: object) -> None:
        """One that comes to `note` with these by another function."""
        self.scope.callback(func, sort)
        expect(sort, *things)

    def by_name(self) -> None:
        self.note("by its name")
        self.note("a tuple", (1, "two"))
        self.note("an artifact", self.directory)
        self.note("artifacts", [self.directory, {"inside": self.inside}], key=self.inside)
        self.note("a scope, and who joins it", self.scope, self.scope.worker)
        outliving = pools.worker(self.scope, outlive_parent=True)
        self.note("workers of a pool", pools.worker(self.scope), outliving)
        self.note("what is public", *(getattr(lastout, name) for name in PUBLIC))
        failure = lastout.Failure(ScopeBusy("it is held", path="/a"))
        report = Report([lastout.Outcome("one", 0.5, failure)])
        errors = CleanupBlocked("it stays", kind="file"), lastout.UsageError("no")
        self.note("values", self.scope.members()[0], report, *errors)
        self.segments()
        self.methods()
        self.scope.callback(lastout.reap, name="nobody")
        self.scope.callback(lastout.run_exit_handlers)

    def segments(self) -> None:
        memory = self.scope.shared_memory(4096, f"lastout-kept-memory-{os.getpid()}")
        semaphore = self.scope.semaphore(1, f"lastout-kept-semaphore-{os.getpid()}")
        memory.close()
        self.note("memory", memory, semaphore)
        self.note("methods of segments", memory.close, semaphore.acquire)

    def methods(self) -> None:
        self.note("methods of an artifact", self.directory.release, Artifact.keep)
        scope = self.scope
        self.note("methods of a scope", scope.leave, scope.directory, lastout.Scope.popen)
        self.other(Keepsake(self.directory, scope).note, "a method", self.directory, scope)
        scope.callback(scope.leave)

    def by_value(self) -> None:
        """What stands in the main script."""
        inside, scope = self.inside, self.scope
        scope.callback(partial(note, "a partial", inside), "called")
        expect("a partial", inside, "called")
        self.other(lambda sort: note(sort, inside, scope), "a closure", inside, scope)
        self.other(uses, "a function", *used())


def work(scope: lastout.Scope) -> None:
    """In a child by multiprocess: what is of the main script is of `__mp_main__` there."""
    Recorder(scope).by_value()
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    scope = lastout.Scope("keepsakes", end_workers=True)
    if sys.version_info < (3, 15):  # where multiprocess cannot, see docs/contributing.md
        child = multiprocess.get_context("spawn").Process(target=work, args=(scope,))
        child.start()
        child.join()
    recorder = Recorder(scope)
    recorder.by_name()
    recorder.by_value()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
