"""A family of processes: each registers handlers, starts the next generation, and ends.

What happens is said, so that the test can compare:

    registered NAME PID    a handler was registered in this process
    ran NAME PID           it ran here
    lived NAME PID         this process did its work
    ended NAME STATUS      a child ended so
"""

from __future__ import annotations

import importlib
import os
import sys
import time

import kin
from say import say

ORDERS = {"lastout first": "lastout {packages}", "package first": "{packages} lastout"}


def import_in(order: str, packages: str) -> None:
    """Import lastout, and the packages that start children, one before the other."""
    for name in ORDERS[order].format(packages=packages).split():
        importlib.import_module(name)


def ran(name: str) -> None:
    """Say that the handler `name` runs in this process."""
    say("ran", name, os.getpid())


def register(name: str) -> None:
    """Register a handler that says so."""
    import lastout

    lastout.register(ran, name)
    say("registered", name, os.getpid())


def register_in_initializer() -> None:
    """What the workers of a pool run first."""
    register("initializer")


def live(generation: int, kinds: list[str], ending: str = "return") -> None:
    """One process of the family: two handlers, then its children; the last one ends as told."""
    register(f"{generation}-first")
    register(f"{generation}-second")
    if kinds:
        raise_children(generation + 1, kinds, ending)
    say("lived", generation, os.getpid())
    if not kinds:
        end(ending)


def raise_children(generation: int, kinds: list[str], ending: str) -> None:
    """Start the next generation, of the first kind, and say how it ended."""
    statuses = kin.start(
        kinds[0], live, generation, kinds[1:], ending, initializer=register_in_initializer
    )
    for status in statuses:
        say("ended", generation, status)


def end(ending: str) -> None:
    """End this process; for `SIGINT` it waits for the test to send one."""
    if ending == "sys.exit(3)":
        sys.exit(3)
    if ending == "exception":
        raise RuntimeError("as the test asked for")
    if ending == "SIGINT":
        say("ready")
        while True:  # short: a signal just before a longer call would wait for its end
            time.sleep(0.01)


def fork_and_unwind() -> None:
    """CPython ends a process that was forked on a thread without any handler: run them by hand."""
    import lastout

    pid = os.fork()
    if not pid:
        register("child")
        report = lastout.unwind()
        say("lived", len(report), os.getpid())
        os._exit(0)
    say("ended", 1, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
