"""The shared half: recording, joining, forking, looking and reaping, beside what others use.

Everything lies in one directory for temporary files, ours and the rivals' alike.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack
from time import perf_counter
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, lock_descriptor

import lastout
from lastout._process.deadline import Deadline
from lastout._shared import joining, journal, lease
from lastout._shared.cleaners import clean
from lastout._shared.membership import Membership
from lastout.backends.local import LocalBackend

from .measure import Companion, Line, medians, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCESSES = 16

FORK = """
import os
from statistics import median
from time import perf_counter
import filelock
{before}
def measure():
    def fork():
        began = perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return perf_counter() - began
    return median(fork() for _ in range({forks}))
"""


def lines(quick: bool) -> Iterator[Line]:
    """Every budget of the shared half."""
    here = tempfile.mkdtemp(prefix="lastout-benchmark-")
    os.environ["LASTOUT_ROOT"] = os.path.join(here, "root")
    rounds = 5 if quick else 25
    try:
        yield from _recording(here, rounds)
        yield from _recording_together(here, 3 if quick else 9)
        yield from _joining(here, rounds)
        yield from _forking(rounds)
        yield from _looking(here, rounds)
        yield from _reaping(here, rounds)
    finally:
        shutil.rmtree(here)


def _recording(here: str, rounds: int, times: int = 1000) -> Iterator[Line]:
    from multiprocessing import resource_tracker

    path = os.path.join(here, "some", "artifact")
    record = journal.made(1, 1, "file", path, "scope", (), {})
    bare = os.open(os.path.join(here, "bare"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ledger = _ledger(here)
    shared = os.path.join(here, "shared")
    lock = FileLock(shared + ".lock")

    def under_lock() -> None:
        with lock, open(shared, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": "file", "location": path}) + "\n")

    def insert() -> None:
        ledger.execute("insert into made (kind, location) values ('file', ?)", (path,))

    member = joining.enter(LocalBackend(), "recording")
    resource_tracker.ensure_running()
    cases: dict[str, Callable[[], object]] = {
        "ours": lambda: member.record("file", path, "scope", (), {}),
        "os.write of the same bytes": lambda: os.write(bare, record),
        "SQLite WAL ledger": insert,
        "one journal under FileLock": under_lock,
        "resource_tracker.register": lambda: resource_tracker.register("/x", "shared_memory"),
    }
    took = medians({name: _repeated(case, times) for name, case in cases.items()}, rounds)
    resource_tracker.unregister("/x", "shared_memory")
    member.append(journal.mark("kept", range(1, member.lease.read().count(b'["made"') + 1)))
    member.shares = 0
    member.leave()
    ledger.close()
    os.close(bare)
    yield Line("record an artifact", took["ours"], *_rival(took, "os.write of the same bytes"), 4)
    for name in list(cases)[2:]:
        yield Line("record an artifact", took["ours"], *_rival(took, name))


def _recording_together(here: str, rounds: int, times: int = 1000) -> Iterator[Line]:
    """Seconds of processor time for each record, one process and many at once."""
    cores = len(os.sched_getaffinity(0))

    def together(processes: int) -> float:
        with lastout.Scope("together"):
            began = perf_counter()
            pids = [_recorder(here, times) for _ in range(processes)]
            for pid in pids:
                assert os.waitpid(pid, 0)[1] == 0
            return (perf_counter() - began) * min(cores, processes) / processes / times

    took = medians({"16": lambda: together(PROCESSES), "1": lambda: together(cores)}, rounds)
    yield Line(
        f"record, {PROCESSES} processes at once, per core", took["16"], "one on each core", took["1"], 1.1
    )


def _recorder(here: str, times: int) -> int:
    pid = os.fork()
    if not pid:
        status = 1
        try:
            member = joining.joined[os.path.join(here, "root", "together")]
            for _ in range(times):
                member.record("file", os.path.join(here, "x"), "scope", (), {})
            member.append(journal.mark("kept", range(1, times + 1)))
            member.leave()
            status = 0
        finally:
            os._exit(status)
    return pid


def _joining(here: str, rounds: int) -> Iterator[Line]:
    lock = FileLock(os.path.join(here, "join.lock"))

    def join_and_leave() -> None:
        with lastout.Scope("joining"):
            pass

    def acquire_and_release() -> None:
        with lock:
            pass

    with lastout.Scope("joining", root=os.path.join(here, "root")):
        pass
    cases = {"ours": _repeated(join_and_leave, 100), "its": _repeated(acquire_and_release, 100)}
    took = medians(cases, rounds)
    yield Line("join + leave, alone", took["ours"], "FileLock acquire + release", took["its"], 3)


def _forking(rounds: int) -> Iterator[Line]:
    cases = {"ours": "import lastout\nscope = lastout.Scope('fork')\n", "its": ""}
    with ExitStack() as stack:
        companions = {
            name: stack.enter_context(Companion(FORK.format(before=before, forks=20)))
            for name, before in cases.items()
        }
        took = medians(companions, rounds)
    lastout.reap(name="fork")
    yield Line("fork, one scope", took["ours"], "with filelock imported", took["its"], 1.5)


def _looking(here: str, rounds: int, members: int = 1000) -> Iterator[Line]:
    backend = LocalBackend(os.path.join(here, "looking"))
    held = backend.hold("s", Deadline(), create=True)
    assert held is not None
    me = psutil.Process()
    path = os.path.join(here, "try.lock")
    busy = FileLock(path)
    other = os.open(path, os.O_RDWR | os.O_CREAT)
    assert lock_descriptor(other, blocking=False)

    def one_try() -> None:
        try:
            busy.acquire(timeout=0)
        except TimeoutError:
            return

    with held:
        leases = [backend.publish("s", f"m{number}", b"") for number in range(members)]
        names = held.members()

        def look() -> None:
            for name in names:
                held.is_held(name)

        cases = {
            "ours": lambda: timed(look, members),
            "psutil": _repeated(lambda: psutil.Process(me.pid).create_time(), 200),
            "one try of a FileLock": _repeated(one_try, 200),
        }
        took = medians(cases, rounds)
        for one in leases:
            one.close()
        held.sweep()
    os.close(other)
    what = f"is a member alive, {members} members"
    yield Line(what, took["ours"], *_rival(took, "psutil"), most=5e-6)
    yield Line(what, took["ours"], *_rival(took, "one try of a FileLock"))


def _reaping(here: str, rounds: int, files: int = 10_000) -> Iterator[Line]:
    place = os.path.join(here, "files")

    def fill() -> list[str]:
        os.mkdir(place)
        paths = [os.path.join(place, str(number)) for number in range(files)]
        for path in paths:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        return paths

    def reap() -> float:
        paths = fill()
        member = Membership(LocalBackend(), "reaping", clean)
        member.join()
        for path in paths:
            found = os.lstat(path)
            facts = {"device": found.st_dev, "inode": found.st_ino}
            member.add(member.record("file", path, "scope", (), {}), facts)
        lease.ours.discard(member.token)
        member.lease.close()  # as if it were killed
        took = timed(lambda: lastout.reap(name="reaping"))
        member.joined = False
        os.rmdir(place)
        return took

    def unlink() -> float:
        paths = fill()
        took = timed(lambda: [os.unlink(path) for path in paths])
        os.rmdir(place)
        return took

    def rmtree() -> float:
        fill()
        return timed(lambda: shutil.rmtree(place))

    cases = {"ours": reap, "unlinking them in a loop": unlink, "shutil.rmtree": rmtree}
    took = medians(cases, max(3, rounds // 3))
    what = f"reap {files} files of a killed member"
    yield Line(what, took["ours"], *_rival(took, "unlinking them in a loop"), 1.5)
    yield Line(what, took["ours"], *_rival(took, "shutil.rmtree"))


def _rival(took: dict[str, float], name: str) -> tuple[str, float]:
    return name, took[name]


def _repeated(case: Callable[[], object], times: int) -> Callable[[], float]:
    def work() -> None:
        for _ in range(times):
            case()

    return lambda: timed(work, times)


def _ledger(here: str) -> sqlite3.Connection:
    ledger = sqlite3.connect(os.path.join(here, "ledger"), isolation_level=None)
    ledger.execute("pragma journal_mode=wal")
    ledger.execute("pragma synchronous=normal")
    ledger.execute("create table made (id integer primary key, kind text, location text)")
    return ledger
