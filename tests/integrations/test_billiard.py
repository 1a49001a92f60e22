"""billiard: its pool ends workers by `os._exit`, and their handlers have run before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("billiard", reason="billiard is not installed")

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

PROGRAM = """
    import os, signal, sys, time
    from billiard.pool import Pool
    import lastout
    from lastout.integrations.pools import worker
    from say import say

    def begin():
        lastout.register(say, "handler")

    def exits(pid, status):
        say("theirs", status)

    def job(number):
        say("job")
        return number

    if __name__ == "__main__":
        with lastout.Scope() as scope:
            begin = worker(scope, initializer=begin, finalizer=lambda: say("finalizer"))
            options = dict(initializer=begin, on_process_exit=exits)
            pool = Pool(2, **options, **{OPTIONS})
            {REST}
        say("there" if os.path.exists(scope.path) else "gone")
"""


def lines(program: Start, rest: str, options: str = "{}") -> list[str]:
    """What a program says that does `rest` with a pool."""
    child = program(PROGRAM.replace("{REST}", rest).replace("{OPTIONS}", options))
    ended = child.end()
    assert ended.status == 0, ended.err
    return child.lines


def test_a_pool_that_is_closed(program: Start) -> None:
    """Each worker's finalizer and handlers run once, after what the pool itself was given."""
    said = lines(program, "pool.map(job, range(4)); pool.close(); pool.join()")
    assert (said.count("finalizer"), said.count("handler"), said.count("theirs 0")) == (2, 2, 2)
    assert said.index("theirs 0") < said.index("finalizer") < said.index("handler")
    assert said[-1] == "gone"


@pytest.mark.thorough
def test_workers_that_are_recycled(program: Start) -> None:
    """So do those of workers that end after one job each."""
    rest = "[pool.apply(job, (n,)) for n in range(3)]; pool.close(); pool.join()"
    said = lines(program, rest, "{'maxtasksperchild': 1}")
    begun = said.count("finalizer")
    assert begun >= 3
    assert said.count("handler") == begun


def test_a_pool_that_is_terminated(program: Start) -> None:
    """SIGTERM, which the pool handles itself, ends a worker no other way."""
    said = lines(program, "pool.map(job, range(4)); pool.terminate(); pool.join()")
    assert (said.count("finalizer"), said.count("handler")) == (2, 2)
    assert said[-1] == "gone"
