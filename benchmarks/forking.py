"""Forking: what the registry adds to `os.fork`.

At-fork hooks cannot be taken away again, so a bare fork is measured in an
interpreter of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from .measure import Companion, Line, medians

if TYPE_CHECKING:
    from collections.abc import Iterator

BUDGET = 1.15

FORK = """
import os
from statistics import median
from time import perf_counter

def fork():
    began = perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return perf_counter() - began

def measure():
    return median(fork() for _ in range({forks}))
"""

CASES = {
    "bare": "",
    "fork, 100 handlers": """
import lastout
for number in range(100):
    lastout.register(print, number)
""",
    "fork, 100 handlers, 10 inheritable": """
import lastout
for number in range(100):
    lastout.handler(inherit=number < 10, args=(number,))(print)
""",
}
SIGNALS = "fork, signals handled (a thread for each child)"


def lines(quick: bool) -> Iterator[Line]:
    """A fork with the registry in use, until the child has ended, beside a bare one."""
    fork = FORK.format(forks=10 if quick else 50)
    cases = {**CASES, SIGNALS: "import lastout\nlastout.handle_signals()\n"}
    with ExitStack() as stack:
        companions = {
            name: stack.enter_context(Companion(f"{code}\n{fork}")) for name, code in cases.items()
        }
        took = medians(companions, 5 if quick else 60)
    for name in cases:
        if name != "bare":
            budget = BUDGET if name in CASES else None
            yield Line(name, took[name], "bare os.fork", took["bare"], budget)
