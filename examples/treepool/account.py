"""Account: what each worker cleaned up, as seen from outside of it, and what is left."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .worker import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lastout import Report, Scope

    from .collector import Visit
    from .worker import Packed, Place


class Cleaned(NamedTuple):
    """One thing that was cleaned: its name, by which process, and in the course of what."""

    name: str
    by: int
    how: str


@dataclass
class Row:
    """One worker: what came back from it, and what it cleaned up.

    Attributes:
        counters: what the parent counted of it, as `Worker.counters`.
        flushed: whether it wrote down as much, and ended in good order; one that
            was ended in the middle may have done more than came back.
        connection: "closed", "by the kernel", "open", "lost", or "none" if it
            never connected.
        removed: whether its scratch directory is gone.
        ended: "exit", the name of the signal, "exit STATUS" or "unknown".
    """

    pid: int
    counters: dict[str, int] = field(default_factory=lambda: {"files": 0, "size": 0, "packed": 0})
    flushed: bool = False
    connection: str = "none"
    removed: bool = False
    ended: str = "unknown"


@dataclass
class Account:
    """What became of each file and of each worker.

    Attributes:
        packed: what is known of each file, by its number.
        rows: the workers, by their pid.
        killed: the pids of those that were killed on purpose.
        cleaned: what was cleaned, in the order in which it was told.
        left: what is left that should not be; one sentence each.
        broken: why the job was not finished, or "".
    """

    packed: dict[int, Packed] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)
    cleaned: list[Cleaned] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    broken: str = ""

    def add(self, packed: Packed) -> bool:
        """Count what came back; False if it came a second time, from another worker."""
        new = packed.number not in self.packed
        self.packed.setdefault(packed.number, packed)
        if packed.content is not None:
            counters = self._row(packed.pid).counters
            counters["files"] += 1
            counters["size"] += packed.content.size
            counters["packed"] += packed.content.packed
        return new

    def _row(self, pid: int) -> Row:
        return self.rows.setdefault(pid, Row(pid))

    def note(self, by: int, how: str, names: Iterable[str]) -> None:
        """Somebody cleaned these; called on the collector's thread too."""
        self.cleaned += [Cleaned(name, by, how) for name in names]

    def note_report(self, how: str, report: Report) -> None:
        """This process cleaned, and what it could not clean is left."""
        self.note(os.getpid(), how, [outcome.name for outcome in report.done])
        for outcome in (*report.failed, *report.timed_out):
            assert outcome.failure
            self.left.append(f"{outcome.name}: {outcome.failure.exception}")

    def close(
        self, place: Place, scope: Scope, visits: Iterable[Visit], children: Mapping[int, Any]
    ) -> None:
        """Look at what the workers left, now that the pool has ended.

        Args:
            place: where they met.
            scope: which they were members of, as this process still is.
            visits: their connections.
            children: their process objects, by pid.
        """
        for pid, child in children.items():
            ended = how_it_ended(child.exitcode)
            # By forkserver, whoever asks second is told 255.
            unknown = ended == "exit 255" and pid in self.killed
            self._row(pid).ended = "SIGKILL" if unknown else ended
        for visit in visits:
            if visit.pid:  # else it was killed before it could say who it is
                self._row(visit.pid).connection = visit.state
        reports = _reports(place)
        left = {int(name): name for name in os.listdir(place.scratch)}
        for row in self.rows.values():
            row.removed = row.pid not in left
            if row.ended == "SIGKILL" and row.connection == "lost":
                row.connection = "by the kernel"
            said_so = row.connection == "closed"
            row.flushed = said_so and _covers(reports.get(row.pid), row.counters)
            self.left += _left_by(row)
        self.left += [f"the scratch directory {name}" for name in left.values()]
        others = [one for one in scope.members() if one.pid != os.getpid()]
        self.left += [f"process {one.pid} in the scope" for one in others]

    def check_gone(self, place: Place, scope: Scope) -> None:
        """Look whether what was the scope's is gone, now that everybody has left it."""
        paths = [path for path in (place.root, scope.path) if os.path.lexists(path)]
        self.left += [f"the directory {path}" for path in paths]
        try:
            type(place.counters)(place.counters.name).close()
        except FileNotFoundError:
            return
        self.left.append(f"the shared memory {place.counters.name}")

    def problems(self) -> dict[int, str]:
        """Why a file could not be packed, by its number."""
        return {n: packed.problem for n, packed in self.packed.items() if packed.problem}

    @property
    def total(self) -> dict[str, int]:
        """The counters of all workers together."""
        return {
            name: sum(row.counters[name] for row in self.rows.values())
            for name in ("files", "size", "packed")
        }


def _left_by(row: Row) -> list[str]:
    left = []
    if row.ended == "running":
        left.append(f"process {row.pid}")
    if row.ended == "SIGKILL":
        return left  # what it could not do, no process can; its things are the scope's to clean
    if row.connection in ("open", "lost"):
        left.append(f"the connection of process {row.pid}, {row.connection} without a goodbye")
    if not row.flushed:
        left.append(f"the counters of process {row.pid}, which were not written down")
    return left


def _covers(report: Mapping[str, int] | None, counters: Mapping[str, int]) -> bool:
    return report is not None and all(report[name] >= counters[name] for name in counters)


def _reports(place: Place) -> dict[int, dict[str, int]]:
    """The counters that were written down, by pid."""
    memory = place.counters.buf
    assert memory is not None
    whole = len(memory) // COUNTERS.size * COUNTERS.size  # some systems round it up
    rows = COUNTERS.iter_unpack(bytes(memory[:whole]))
    return {pid: dict(zip(("files", "size", "packed"), rest, strict=True)) for pid, *rest in rows}


def how_it_ended(status: int | None) -> str:
    """An exit status of multiprocessing in words."""
    if status is None:
        return "running"
    if status < 0:
        return signal.Signals(-status).name
    return f"exit {status}" if status else "exit"
