"""A tree of processes to be killed: a parent, the workers of its pool, and their guardian."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from lastout._platform import pids
from lastout._platform.process_ends import wait_for_ends

from .guardians import guardian
from .waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .program import Program

TREE = """
    import os, signal, socket, sys, time
    from multiprocessing import get_context
    import lastout
    from say import say

    def busy(number):
        scope = lastout.current_scope()
        say("path", scope.directory(lifetime="member"))
        say("path", scope.file())
        say("process", scope.popen(["sleep", "600"]).pid)
        say("worker", os.getpid())
        while True:
            time.sleep(60)

    if __name__ == "__main__":
        scope = lastout.Scope("tree", guardian=True)
        say("path", scope.directory())
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.fspath(scope.socket(f"{os.getcwd()}/socket")))
        say("path", f"{os.getcwd()}/socket")
        memory = scope.shared_memory(4096)
        say("memory", memory.name)
        say("process", scope.popen(["sh", "-c", "sleep 600 & sleep 600"]).pid)
        with get_context("fork").Pool(2, scope.worker) as pool:
            result = pool.map_async(busy, range(2), chunksize=1)
            os.read(0, 1)  # not `input()`: its lock on sys.stdin would be held in forked workers
"""


class Tree:
    """The processes of one run, and what they made."""

    def __init__(self, program: Callable[..., Program]) -> None:
        self.scope = os.path.join(os.environ["LASTOUT_ROOT"], "tree")
        self.parent = program(TREE)
        ready = eventually(lambda: len(self.said("worker")) == 2, 30)
        assert ready, self.parent.lines
        self.guardian = guardian(self.scope)
        self._killed: list[int] = []
        first, second = map(int, self.said("worker"))
        self.pids = {
            "parent": self.parent.pid,
            "first": first,
            "second": second,
            "guardian": self.guardian.pid,
        }

    def said(self, what: str) -> list[str]:
        """What its processes said of this kind."""
        return [line.split()[1] for line in self.parent.lines if line.split()[0] == what]

    def kill(self, names: Iterable[str]) -> None:
        """SIGKILL these, in this order."""
        for name in names:
            try:
                held = pids.open_pidfd(self.pids[name])
            except ProcessLookupError:
                continue  # the death of an earlier one ended it
            self._killed.append(held)
            pids.signal_held(held, signal.SIGKILL)

    def finish(self) -> None:
        """Let a parent that still lives end in good order; wait for it, and for all the killed.

        `kill` returns before its victim has let go of anything.
        """
        if self.parent.running:
            self.parent.tell()
        self.parent.end()
        try:
            assert wait_for_ends(self._killed, 30)
        finally:
            while self._killed:
                os.close(self._killed.pop())

    def left(self) -> list[str]:
        """What is still there of it."""
        processes = [int(pid) for pid in [*self.said("process"), *self.said("worker")]]
        paths = [*self.said("path"), self.scope]
        there = [f"process {pid}" for pid in processes if is_alive(pid)]
        there += [path for path in paths if os.path.lexists(path)]
        shared = [f"/dev/shm/{name}" for name in self.said("memory")]
        return there + [path for path in shared if os.path.exists(path)]


def is_alive(pid: int) -> bool:
    """Whether it runs, and is not only waited for."""
    facts = pids.process_facts(pid)
    return facts is not None and not facts.ending
