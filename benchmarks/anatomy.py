"""Anatomy: what the steps of a record and of a reap take, each measured by itself.

The profile behind the budgets that are missed.  A profiler would weigh down the
cheap steps most; so each step is called as often as the whole.
"""

from __future__ import annotations

import os
import stat
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING

import lastout
from lastout._scopes.kinds import paths
from lastout._scopes.records import journal, plan
from lastout._scopes.records.artifact import Artifact

from .measure import Line, medians, timed
from .places import child, directory
from .reaping import record, wait_for_kill
from .recording import FLAGS, PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Steps = dict[str, Callable[[], float]]

TOKEN = "0123456789abcdef"


def lines(quick: bool) -> Iterator[Line]:
    """Each step, beside the whole that it is a part of."""
    with directory() as place, lastout.Scope("anatomy", root=place / "root") as scope:
        took = medians(recording(place, scope, 100 if quick else 500), 3 if quick else 40)
    yield from _shares("a record", took)
    with directory() as place:
        took = medians(reaping(place, 100 if quick else 10_000), 1 if quick else 9)
    yield from _shares("reaping a file", took)


def _shares(whole: str, took: Mapping[str, float]) -> Iterator[Line]:
    for step, seconds in took.items():
        if step != whole:
            yield Line(f"of {whole}: {step}", seconds, whole, took[whole])


def recording(place: Path, scope: lastout.Scope, times: int) -> Steps:
    """The steps of one record."""
    member = scope._membership()
    number = os.open(place / "bare", FLAGS, 0o600)
    line = journal.made(81_245_000_000_000, 1000, "file", PLACE, "scope", (), {})

    def repeated(step: Callable[[], object]) -> float:
        def work() -> None:
            for _ in range(times):
                step()

        return timed(work, times)

    identifier = f"{TOKEN}.1000"
    steps: dict[str, Callable[[], object]] = {
        "a record": lambda: member.record("file", PLACE, "scope", (), {}),
        "os.write of the line": lambda: os.write(number, line),
        "os.fstat, is it still our file": lambda: os.fstat(number),
        "the line: JSON and checksum": lambda: journal.made(
            1, 1000, "file", PLACE, "scope", (), {}
        ),
        "the Artifact": lambda: Artifact(identifier, "file", PLACE, "scope", (), {}, 1, "scope"),
        "the clock and the process id": lambda: (monotonic_ns(), os.getpid()),
        "a call that does nothing": lambda: None,
    }
    return {name: partial(repeated, step) for name, step in steps.items()}


def reaping(place: Path, number: int) -> Steps:
    """The steps of reaping one file of many."""
    root, files = place / "root", place / "files"
    locations = [str(files / f"frame-{one:05}") for one in range(number)]

    def killed() -> None:
        files.mkdir(exist_ok=True)
        wait_for_kill(child(lambda: record(root, locations)))

    def whole() -> float:
        killed()
        return timed(lambda: lastout.reap(root), number)

    killed()
    [written] = root.glob("*/*.journal")
    data = written.read_bytes()
    lastout.reap(root)
    artifacts = journal.parse(TOKEN, data).unresolved()

    def beside_files(step: Callable[[], object]) -> float:
        for path in locations:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            return timed(step, number)
        finally:
            for path in locations:
                if os.path.lexists(path):
                    os.unlink(path)

    found = os.lstat(place)
    facts = {"type": found.st_mode & 0o170000, **paths.facts(found)}

    def look_at_all() -> None:
        for location in locations:
            paths.check_same("file", location, facts, found, stat.S_ISREG)

    steps: dict[str, Callable[[], object]] = {
        "os.unlink": lambda: list(map(os.unlink, locations)),
        "os.lstat": lambda: list(map(os.lstat, locations)),
        "is it the same file": look_at_all,
        "reading the journal": lambda: journal.parse(TOKEN, data),
        "the order": lambda: plan.order(artifacts),
    }
    return {
        "reaping a file": whole,
        **{name: partial(beside_files, step) for name, step in steps.items()},
    }
