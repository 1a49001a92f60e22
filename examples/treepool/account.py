"""Account: what each worker cleaned up, as seen from outside of it, and what is left."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .collector import Visit
    from .worker import Packed, Place


@dataclass
class Row:
    """One worker: what came back from it, and what it cleaned up.

    Attributes:
        counters: what the parent counted of it, as `Worker.counters`.
        flushed: whether it wrote down as much; one that was ended in the middle
            may have done more than came back.
        connection: "closed", "open", "lost", or "none" if it never connected.
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
        left: what is left that should not be; one sentence each.
        broken: why the job was not finished, or "".
    """

    packed: dict[int, Packed] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)
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

    def close(self, place: Place, visits: Iterable[Visit], children: Mapping[int, Any]) -> None:
        """Look at what the workers left, now that the pool has ended.

        Args:
            place: where they met.
            visits: their connections.
            children: their process objects, by pid.
        """
        for pid, child in children.items():
            self._row(pid).ended = how_it_ended(child.exitcode)
        for visit in visits:
            if visit.pid:  # else it was killed before it could say who it is
                self._row(visit.pid).connection = visit.state
        left = {int(name.partition("-")[0]): name for name in os.listdir(place.scratch)}
        for row in self.rows.values():
            row.removed = row.pid not in left
            row.flushed = _covers(_report_of(row.pid, place), row.counters)
            self.left += _left_by(row)
        self.left += [f"the scratch directory {name}" for name in left.values()]

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
    if row.connection in ("open", "lost"):
        left.append(f"the connection of process {row.pid}, {row.connection} without a goodbye")
    if not row.flushed:
        left.append(f"the counters of process {row.pid}, which were not written down")
    return left


def _covers(report: Any, counters: Mapping[str, int]) -> bool:
    return report is not None and all(report[name] >= counters[name] for name in counters)


def _report_of(pid: int, place: Place) -> Any:
    try:
        with open(os.path.join(place.reports, f"{pid}.json"), encoding="ascii") as report:
            return json.load(report)
    except (FileNotFoundError, ValueError):  # never written, or not to its end
        return None


def how_it_ended(status: int | None) -> str:
    """An exit status of multiprocessing in words."""
    if status is None:
        return "running"
    if status < 0:
        return signal.Signals(-status).name
    return f"exit {status}" if status else "exit"
