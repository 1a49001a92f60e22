"""Guarding: from the SIGKILL of all members to everything clean, with a guardian and without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from time import perf_counter
from typing import TYPE_CHECKING

import lastout

from .measure import Line, medians, timed
from .places import child, directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Case = Callable[[], float]

FILES = 100
MEMBERS = 4
BUDGET = 0.050  # seconds
PATIENCE = 30.0


def lines(quick: bool) -> Iterator[Line]:
    """With a guardian; and what can be done without one: a process that is started to reap."""
    rounds = 1 if quick else 25
    with directory() as place:
        took = medians(
            {
                "guardian": lambda: cleaned(place, guardian=True),
                "process": lambda: cleaned(place, guardian=False),
            },
            rounds,
        )
        starting = medians(
            {"guardian": lambda: started(place), "python": python}, 1 if quick else 15
        )
    what = f"SIGKILL of {MEMBERS} to {FILES} files gone"
    yield Line(what, took["guardian"], "a new process that reaps", took["process"], most=BUDGET)
    yield Line("start a guardian", starting["guardian"], "python -I -S -c pass", starting["python"])


def cleaned(place: Path, guardian: bool) -> float:
    """Seconds from the first SIGKILL until the scope, and so all that was in it, is gone."""
    root = place / "root"
    parent = _tree(root, guardian)
    began = perf_counter()
    os.killpg(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    if not guardian:
        script = f"import lastout; lastout.reap({os.fspath(root)!r})"
        subprocess.run([sys.executable, "-c", script], check=True)
    while os.path.exists(root / "killed"):
        if perf_counter() - began > PATIENCE:
            raise RuntimeError("nobody cleaned up")
        time.sleep(0.0002)
    took = perf_counter() - began
    if any(place.glob("file-*")):
        raise AssertionError("the scope is gone, but not what was in it")
    return took


def _tree(root: Path, guardian: bool) -> int:
    """Members in a process group of their own, with files between them; the pid of the first."""
    ready, write = os.pipe()

    def work() -> None:
        os.setpgid(0, 0)
        scope = lastout.Scope("killed", root=root, guardian=guardian)
        for _ in range(MEMBERS - 1):
            if not os.fork():
                break
        for _ in range(FILES // MEMBERS):
            scope.file(root.parent / f"file-{os.urandom(8).hex()}")
        os.write(write, b"r")
        signal.pause()

    parent = child(work)
    os.close(write)
    for _ in range(MEMBERS):
        if os.read(ready, 1) != b"r":
            raise RuntimeError("the members did not come up")
    os.close(ready)
    if guardian:
        time.sleep(0.1)  # it has come up, and seen all members
    return parent


def started(place: Path) -> float:
    """Seconds that the first to ask for a guardian waits for it."""
    scope = lastout.Scope("started", root=place / "root")
    try:
        return timed(lambda: lastout.Scope("started", root=place / "root", guardian=True).leave())
    finally:
        scope.leave()


def python() -> float:
    """Seconds that an interpreter takes to start and to end."""
    return timed(lambda: subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True))
