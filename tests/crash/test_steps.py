"""Killed, or refused something, at every step of the protocol: nothing is lost.

A forked child plays a part (join, make, release, fork, leave) and is killed
before, in the middle of, or right after its n-th call that touches the disk; or
that call fails, and the part goes on with the next thing.  Then the others must
find all that it made, and the scope must end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

SCRIPT = """
    import errno, os, sys
    import lastout
    import lastout._shared.scope, lastout._shared.recovery
    from say import say

    CALLS = ["open", "write", "rename", "mkdir", "unlink", "rmdir", "close"]
    WHEN, WHO = sys.argv[1], sys.argv[2]
    HERE = os.path.abspath("things")
    real = {name: getattr(os, name) for name in CALLS}

    def arm(step):
        count = [0]

        def dangerous(name):
            call = real[name]

            def wrapped(*args, **options):
                count[0] += 1
                if count[0] == step and WHEN == "before":
                    real["write"](alive, b"k")
                    os.kill(os.getpid(), 9)
                if count[0] == step and WHEN == "torn" and name == "write":
                    call(args[0], args[1][: len(args[1]) // 2])
                    real["write"](alive, b"k")
                    os.kill(os.getpid(), 9)
                if count[0] == step and WHEN.startswith("E") and name != "close":
                    real["write"](alive, b"k")
                    raise OSError(getattr(errno, WHEN), WHEN)
                try:
                    return call(*args, **options)
                finally:
                    if count[0] == step and WHEN == "after":
                        real["write"](alive, b"k")
                        os.kill(os.getpid(), 9)

            return wrapped

        for name in CALLS:
            setattr(os, name, dangerous(name))

    def attempt(act, *args, **options):
        try:
            return act(*args, **options)
        except OSError:
            if not WHEN.startswith("E"):
                raise

    def part(inherited):
        scope = attempt(lastout.Scope, "s") or lastout.Scope("s")
        outer = attempt(scope.directory, os.path.join(HERE, "outer"))
        attempt(scope.file, os.path.join(HERE, "outer", "x")) if outer else None
        attempt(scope.directory, os.path.join(HERE, "mine"), lifetime="member")
        released = attempt(scope.file, os.path.join(HERE, "released"))
        attempt(released.release) if released else None
        pid = os.fork()
        if not pid:
            attempt(scope.file, os.path.join(HERE, "childs"), lifetime="member")
            scope.leave()
            os._exit(0)
        os.waitpid(pid, 0)
        scope.leave()
        if inherited:
            inherited.leave()

    def one(step):
        # Returns whether the part was killed.
        global alive
        read, alive = os.pipe()
        os.mkdir(HERE)
        other = lastout.Scope("s") if WHO == "another" else None
        kept = other.file(os.path.join(HERE, "others")) if other else None
        pid = os.fork()
        if not pid:
            arm(step)
            part(other)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        os.close(alive)
        killed = b""
        while byte := os.read(read, 1):  # until the grandchild has ended too
            killed += byte
        os.close(read)
        first = lastout.reap(name="s")
        if other:
            if not os.path.exists(kept):
                say(step, "a living one lost its file")
            first = other.leave()
        rest = lastout.reap()
        left = os.listdir(HERE), os.listdir(os.environ["LASTOUT_ROOT"])
        if left != ([], []) or not first.ok or len(rest):
            say(step, "left", left, first, rest)
            raise SystemExit(1)
        os.rmdir(HERE)
        return bool(killed)

    os.makedirs(os.environ["LASTOUT_ROOT"], 0o700)
    steps = 1
    while one(steps):
        steps += 1
    say("steps", steps > 60, steps)
"""


@pytest.mark.parametrize("who", ["alone", "another"])
@pytest.mark.parametrize(
    "when", ["before", "after", "torn", "ENOSPC", "EMFILE", "EIO", "EACCES", "EINTR"]
)
def test_every_step(program: Callable[..., Program], when: str, who: str) -> None:
    """Wherever a call kills or fails, the next one finds everything; the living lose nothing."""
    if when == "torn" or when.startswith("E"):
        script = SCRIPT.replace("while one(steps):", "while one(steps) or steps < 150:")
    else:
        script = SCRIPT
    child = program(script, args=[when, who])
    ended = child.end(110)
    assert ended.status == 0, (child.lines, ended.err)
    assert child.lines[-1].startswith("steps True"), child.lines
    assert os.path.isdir(child.directory)
