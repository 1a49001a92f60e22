"""Scopes: being in one, coming and going, and looking at who is there."""

from __future__ import annotations

import resource
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

import lastout
from lastout._scopes.records.survey import ScopeSurvey
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline

from .forking import FORK
from .measure import Companion, Line, medians, timed
from .places import directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FORK_BUDGET = 1.5
JOIN_BUDGET = 3.0
ALIVE = 5e-6  # seconds for each member
MEMBERS = 1_000


def lines(quick: bool) -> Iterator[Line]:
    """A fork, a join and a leave, and the question who is alive."""
    with directory() as place:
        yield from forking(place, 10 if quick else 50, 2 if quick else 40)
    with directory() as place:
        yield from joining(place, 10 if quick else 100, 3 if quick else 60)
    with directory() as place:
        yield from liveness(place, 100 if quick else MEMBERS, 2 if quick else 30)
    for number in (1, 10) if quick else (1, 10, 100):
        with directory() as place:
            yield from liveness(place, number, 2 if quick else 30)
    for number in (1, 10) if quick else (1, 10, 100, 1_000):
        with directory() as place:
            yield from coming_to(place, number, 2 if quick else 10)


def forking(place: Path, forks: int, rounds: int) -> Iterator[Line]:
    """A fork by a member, until the child has ended, beside one that has only filelock loaded."""
    fork = FORK.format(forks=forks)
    scope = f"""
import lastout
scope = lastout.Scope("forks", root={str(place)!r})
{fork}
fork_all = measure

def measure():
    took = fork_all()
    lastout.reap(root={str(place)!r})  # the children just ended, without leaving
    return took
"""
    with ExitStack() as stack:
        companions = {
            "ours": stack.enter_context(Companion(scope)),
            "its": stack.enter_context(Companion(f"import filelock\n{fork}")),
        }
        took = medians(companions, rounds)
    rival = "fork, filelock imported"
    yield Line("fork, in one scope", took["ours"], rival, took["its"], FORK_BUDGET)


def joining(place: Path, times: int, rounds: int) -> Iterator[Line]:
    """Joining and leaving, as the only member and beside another one, and a lock of filelock."""

    def coming_and_going(name: str) -> Callable[[], float]:
        def work() -> None:
            for _ in range(times):
                lastout.Scope(name, root=place).leave()

        return lambda: timed(work, times)

    def locking() -> None:
        lock = FileLock(place / "its.lock")
        for _ in range(times):
            with lock:
                continue

    alone, beside = "join + leave, alone", "join + leave, beside another member"
    other = f"""
import lastout
scope = lastout.Scope("two", root={str(place)!r})
def measure(): return 0.0
"""
    with Companion(other) as member:
        member()  # now it is in
        cases = {
            alone: coming_and_going("one"),
            beside: coming_and_going("two"),
            "its": lambda: timed(locking, times),
        }
        took = medians(cases, rounds)
    for what in (alone, beside):
        yield Line(what, took[what], "FileLock, one acquire", took["its"], JOIN_BUDGET)


def liveness(place: Path, number: int, rounds: int) -> Iterator[Line]:
    """Who of 1,000 members is alive, for each of them.

    All of them are one process, which costs the same: nothing is asked of the
    process where the lock is held.
    """
    with _enough_descriptors(), Companion(_members(place, number)) as members:
        pid = int(members())
        backend = LocalBackend(place / "root")
        with backend.lock_scope("many", Deadline(60)) as held:  # type: ignore[union-attr]

            def ours() -> None:
                if len(ScopeSurvey(held, "many").living) != number:
                    raise AssertionError("a living member was taken for dead")

            process = psutil.Process(pid)
            began = process.create_time()
            locks = [str(place / f"{one}.lock") for one in range(number)]
            rivals: dict[str, Callable[[], object]] = {
                "psutil, by start time": lambda: [
                    psutil.Process(pid).create_time() == began for _ in range(number)
                ],
                "FileLock, one try": lambda: [_is_locked(lock) for lock in locks],
            }
            cases = {"ours": ours, **rivals}
            took = medians(
                {name: partial(timed, work, number) for name, work in cases.items()}, rounds
            )
    for rival in rivals:
        most = ALIVE if number == MEMBERS else None
        yield Line("alive? each of {}", took["ours"], rival, took[rival], most=most, size=number)


def coming_to(place: Path, number: int, rounds: int) -> Iterator[Line]:
    """Joining and leaving a scope of so many others."""
    with _enough_descriptors(), Companion(_members(place, number)) as members:
        members()
        root = place / "root"
        took = medians(
            {
                "join": lambda: timed(lambda: lastout.Scope("many", root=root).leave()),
                "alone": lambda: timed(lambda: lastout.Scope("alone", root=root).leave()),
            },
            rounds,
        )
    what = "join + leave, beside {} members"
    yield Line(what, took["join"], "the only member", took["alone"], size=number)


def _members(place: Path, number: int) -> str:
    """A script with so many members, and so many locks of filelock's making."""
    return f"""
import fcntl, os
from lastout.deadline import Deadline
from lastout._scopes.records import journal
from lastout.backends.local import LocalBackend

backend = LocalBackend({str(place / "root")!r})
with backend.lock_scope("many", Deadline(60), create=True):
    members = [
        backend.publish("many", f"{{one:016x}}", journal.header(f"{{one:016x}}"))
        for one in range({number})
    ]
locks = [open({str(place)!r} + f"/{{one}}.lock", "w") for one in range({number})]
for lock in locks:
    fcntl.flock(lock, fcntl.LOCK_EX)

def measure(): return os.getpid()
"""


@contextmanager
def _enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _is_locked(path: str) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
