"""Cleanups that start a process: a program that is ended, a command, a function elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import lastout

from .measure import Line, medians, timed
from .places import child, directory
from .reaping import wait_for_kill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAM = ["sleep", "60"]
QUICK_PROGRAM = ["true"]


def lines(quick: bool) -> Iterator[Line]:
    """What a scope adds to a program, and what it takes to call a dead one's function."""
    rounds = 2 if quick else 20
    with directory() as place:
        took = medians({"ours": partial(started, place), "bare": popened}, rounds)
    yield Line("start a program", took["ours"], "subprocess.Popen", took["bare"])
    python = [sys.executable, "-c", "pass"]
    cases = {
        "a command of a killed member": (record_command, QUICK_PROGRAM, "true"),
        "a callback of one, by name": (record_named, python, "python -c pass"),
        "a callback of one, pickled": (record_pickled, python, "python -c pass"),
    }
    for what, (record, rival, name) in cases.items():
        with directory() as place:
            took = medians(
                {"ours": partial(reaped, place, record), "its": partial(run, rival)}, rounds
            )
        yield Line(what, took["ours"], name, took["its"])


def started(place: Path) -> float:
    """Seconds to start a program that its scope will end."""
    with lastout.Scope("programs", root=place / "root") as scope:
        processes: list[subprocess.Popen[bytes]] = []
        took = timed(lambda: processes.append(scope.popen(PROGRAM)))
        scope.artifact_of(processes[0]).release()
    return took


def popened() -> float:
    """The same without a scope."""
    processes: list[subprocess.Popen[bytes]] = []
    took = timed(lambda: processes.append(subprocess.Popen(PROGRAM)))
    processes[0].kill()
    processes[0].wait()
    return took


def run(command: list[str]) -> float:
    """Seconds for a process to start and to end."""
    return timed(lambda: subprocess.run(command, check=True))


def reaped(place: Path, record: Callable[[lastout.Scope], object]) -> float:
    """Seconds to clean up after a member that recorded one thing and was killed."""
    root = place / "root"

    def work() -> None:
        record(lastout.Scope("killed", root=root))
        os.kill(os.getpid(), signal.SIGKILL)

    wait_for_kill(child(work))
    reports: list[lastout.Report] = []
    took = timed(lambda: reports.append(lastout.reap(root)))
    if not reports[0].ok or len(reports[0].done) != 1:
        raise AssertionError(f"not all was reaped: {reports[0]}")
    return took


def record_command(scope: lastout.Scope) -> None:
    scope.command(QUICK_PROGRAM)


def record_named(scope: lastout.Scope) -> None:
    scope.callback(os.getpid)


def record_pickled(scope: lastout.Scope) -> None:
    scope.callback(lambda: None)
