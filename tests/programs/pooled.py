"""Pools of two workers, each made, used, ended and broken by the same few calls.

What happens is said, so that the test can compare:

    made WHO PATH      a worker made a directory for itself, in the scope
    finished WHO       its finalizer ran
    job WORDS          what became of the job of a worker that was killed
    pool WORDS         what became of the next jobs of that pool
    standing WHEN WHO PATH  a directory was still there when the workers had ended, ...

WHO is the pid of the worker; in a subinterpreter, "PID.NUMBER".
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from say import say

import lastout

SECONDS = 20.0


def wait_for(true):
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.005)


# What workers do.


def me():
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        if interpreters.get_current() != interpreters.get_main():
            return f"{os.getpid()}.{interpreters.get_current().id}"
    return str(os.getpid())


def finish():
    say("finished", me())


def occupy(meeting):
    """Make a directory, and wait until another worker has come as well."""
    say("made", me(), lastout.current_scope().directory(lifetime="member"))
    Path(meeting, me()).touch()
    wait_for(lambda: len(os.listdir(meeting)) == 2)


def stay(meeting):
    """Be busy for long; once in each worker."""
    occupy(meeting)
    time.sleep(60)


def hold(meeting):
    """Make a directory and wait to be killed; nothing where somebody has waited already."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(meeting)
        say("made", me(), lastout.current_scope().directory(lifetime="member"))
        say("held", me())
        time.sleep(60)


# What is done to them.


def main(name, event, method):
    import pooled_kinds  # not above: it imports this, and workers have no use for it

    with lastout.Scope("pooled") as scope:
        pool = pooled_kinds.make(name, scope, method)
        use(pool, "first")
        workers = [int(name) for name in os.listdir("first") if name.isdecimal()]
        if event == "closed":
            pool.close()
        elif event == "terminated":
            # An idle worker may be told to go before it is terminated.
            os.mkdir("busy")
            pool.run(stay, 2, "busy")
            wait_for(lambda: len(os.listdir("busy")) == 2)
            pool.terminate(workers)
        elif event == "parent killed":
            if name == "pytest-xdist":  # whose parent is another program
                pool.kill_parent()
            os.kill(os.getpid(), signal.SIGKILL)
        elif event == "worker killed":
            kill_one(pool, workers)
        wait_for(lambda: not any(map(runs, workers)))
        say_standing("inside")
    say_standing("outside")


def use(pool, meeting):
    os.mkdir(meeting)
    pool.wait(pool.run(occupy, 2, meeting), SECONDS)


def kill_one(pool, workers):
    job = pool.run(hold, 1, "held")
    wait_for(lambda: said("held"))
    [[victim]] = said("held")
    os.kill(int(victim), signal.SIGKILL)
    # What never ends is not waited for long; the next jobs are done before it is judged.
    outcome = "never" if pool.forgets_jobs else attempt(lambda: pool.wait(job, SECONDS))
    later = attempt(lambda: use(pool, "second"))
    if outcome == "never":
        outcome = attempt(lambda: pool.wait(job, 0.3))
    say("job", outcome)
    say("pool", later)
    say_standing("later")
    # Who waits for a job that never ends, closes for ever.
    if outcome == "never":
        pool.terminate(workers)
    else:
        pool.close()


def attempt(what):
    try:
        what()
    except Exception as error:
        word = type(error).__name__
        return "never" if word in ("TimeoutError", "Empty") else word
    return "well"


def say_standing(when):
    for pid, path in said("made"):
        if os.path.exists(path):
            say("standing", when, pid, path)


def said(word):
    lines = Path(os.environ["SAY_TO"]).read_text().splitlines()
    return [line.split(" ")[1:] for line in lines if line.split(" ")[0] == word]


def runs(pid):
    import psutil  # not above: it cannot be imported in a subinterpreter

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
