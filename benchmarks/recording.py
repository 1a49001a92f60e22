"""Recording: what it costs to write an artifact down, alone and in a crowd.

The rivals keep the same ledger by other means: one database for all, one file
for all under a lock, or the standard library's resource tracker.
"""

from __future__ import annotations

import gc
import os
import sqlite3
from functools import partial
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock

from lastout import Scope
from lastout._scopes.records import journal

from .measure import Line, medians, timed
from .places import crowd, directory
from .rivals import rival as optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Open = Callable[[Path], "Ledger"]

RECORD_BUDGET = 4.0
# "No slower": with as much leeway as two rounds of the same differ by.
CROWD_BUDGET = 1.1
CROWD = 16
CROWDS = (2, 4, 8, CROWD)
MANY = (10, 100, 1_000, 10_000, 100_000)

PLACE = "/nowhere/frames/frame-0001.png"
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Ledger(NamedTuple):
    """Something to write artifacts down in."""

    record: Callable[[], object]
    close: Callable[[], object]


def lines(quick: bool) -> Iterator[Line]:
    """One record; processes that record at once, beside one of them; records beside many others."""
    with directory() as place:
        yield from recording(place, 100 if quick else 1000, 3 if quick else 60)
    with directory() as place:
        yield from crowded(place, 200 if quick else 4000, 2 if quick else 9)
    for number in (10, 1_000) if quick else MANY:
        with directory() as place:
            yield from growing(place, number, 1 if quick else 3)


def recording(place: Path, times: int, rounds: int) -> Iterator[Line]:
    """One record of many in a row, beside what others offer."""
    ledgers = {name: open_one(place) for name, open_one in LEDGERS.items()}
    cases = {
        name: partial(timed, _repeating(ledger, times), times) for name, ledger in ledgers.items()
    }
    try:
        took = medians(cases, rounds)
    finally:
        for ledger in ledgers.values():
            ledger.close()
    for rival in ledgers:
        if rival != "ours":
            budget = RECORD_BUDGET if rival == BARE else None
            yield Line("record an artifact", took["ours"], rival, took[rival], budget)


def _repeating(ledger: Ledger, times: int) -> Callable[[], None]:
    def work() -> None:
        record = ledger.record
        for _ in range(times):
            record()

    return work


def crowded(place: Path, times: int, rounds: int) -> Iterator[Line]:
    """One record on one core, when 16 processes record at once and when one does."""
    cores = min(CROWD, len(os.sched_getaffinity(0)))

    def case(name: str, processes: int) -> Callable[[], float]:
        number = times // CROWDED[name]

        def prepare() -> tuple[Callable[[], object], Callable[[], object]]:
            gc.disable()
            ledger = LEDGERS[name](place)
            return _repeating(ledger, number), ledger.close

        busy = min(cores, processes)
        return lambda: crowd(processes, prepare) * busy / (processes * number)

    crowds = (1, *CROWDS)
    took = medians({f"{n} {name}": case(name, n) for name in CROWDED for n in crowds}, rounds)
    for name in CROWDED:
        what = "record, {} processes" if name == "ours" else f"{name}, {{}} processes"
        for number in CROWDS:
            budget = CROWD_BUDGET if (name, number) == ("ours", CROWD) else None
            alone, all_at_once = took[f"1 {name}"], took[f"{number} {name}"]
            yield Line(what, all_at_once, "one process", alone, budget, size=number)


def growing(place: Path, number: int, rounds: int) -> Iterator[Line]:
    """Each of so many records by one member, beside a database that grows likewise."""
    ledgers = {"ours": _ours, DATABASE: _one_database}

    def case(name: str) -> Callable[[], float]:
        def measure() -> float:
            ledger = ledgers[name](place)
            took = timed(_repeating(ledger, number), number)
            ledger.close()
            return took

        return measure

    took = medians({name: case(name) for name in ledgers}, rounds)
    yield Line("record, each of {}", took["ours"], DATABASE, took[DATABASE], size=number)


# Ours, and the others.


def _ours(place: Path) -> Ledger:
    scope = Scope("crowd", root=place / "root")
    member = scope._membership()
    return Ledger(lambda: member.record("file", PLACE, "scope", (), {}), scope.leave)


def _line() -> bytes:
    """A record as long as ours."""
    return journal.made(81_245_000_000_000, 1000, "file", PLACE, "scope", (), {})


def _bare_write(place: Path) -> Ledger:
    line, number = _line(), os.open(place / f"bare-{os.getpid()}", FLAGS, 0o600)
    return Ledger(lambda: os.write(number, line), lambda: os.close(number))


def _one_database(place: Path) -> Ledger:
    # Each record a transaction of its own, safe when a process is killed; not
    # when the machine is, as ours.
    database = sqlite3.connect(place / "ledger.db", isolation_level=None, timeout=120)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("CREATE TABLE IF NOT EXISTS ledger (line BLOB)")
    line = _line()
    return Ledger(lambda: database.execute("INSERT INTO ledger VALUES (?)", [line]), database.close)


def _one_file(place: Path) -> Ledger:
    line, number = _line(), os.open(place / "journal", FLAGS, 0o600)
    # Its usual pause of 50 ms would be most of what is measured in a crowd.
    lock = FileLock(place / "journal.lock", poll_interval=0.001)

    def record() -> None:
        with lock:
            os.write(number, line)

    return Ledger(record, lambda: os.close(number))


def _tracker(tracker: Any, kind: str, _: Path) -> Ledger:
    # The same name again costs as much as another one, and is taken out at once.
    name = "/lastout-benchmark"
    tracker.ensure_running()
    return Ledger(lambda: tracker.register(name, kind), lambda: tracker.unregister(name, kind))


BARE = "bare os.write"
DATABASE = "one SQLite ledger (WAL)"
FILE = "one journal under FileLock"
LEDGERS: dict[str, Open] = {
    "ours": _ours,
    BARE: _bare_write,
    DATABASE: _one_database,
    FILE: _one_file,
    "resource_tracker.register": partial(_tracker, resource_tracker, "shared_memory"),
}
if loky_tracker := optional("loky.backend.resource_tracker"):
    LEDGERS["loky's resource_tracker"] = partial(_tracker, loky_tracker, "semlock")
# What a crowd records in, and how much less of it where that takes long.
CROWDED = {"ours": 1, BARE: 1, DATABASE: 5, FILE: 20}
