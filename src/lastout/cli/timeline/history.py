"""The history of scopes, read from their journals by pure functions.

    journals of a process ==> ProcessLane: joined ... left, or died, or alive still
    each of their records ==> ArtifactEvent: made, or cleaned; on the lane of the acting process

A killed member does not record its end: it died between its last record and the moment in
which another process began to clean up after it.

Tested by: tests/cli/test_history.py
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ..._scopes.records.journal import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Final, Literal

    End = Literal["alive", "left", "died", "out"]
    Verb = Literal["made", "cleaned", "kept"]


@dataclass(slots=True)
class ProcessLane:
    """One process: a member of one scope or several, or a process that only cleaned.

    Attributes:
        label: its name in the picture.
        pid: its pid; `None` if unknown.
        begin: when it joined, in nanoseconds.
        end: when it was out, or was found to be out.
        seen: its last sign of life.
        how: how it ended; `"out"` if that is unknown.
    """

    label: str
    pid: int | None
    begin: int
    end: int
    seen: int
    how: End


@dataclass(frozen=True, slots=True)
class ArtifactEvent:
    """One action on an artifact.

    Attributes:
        verb: the action.
        ns: when it was over.
        since: when it began.
        lane: the number of the acting process's lane.
        owner: the number of the lane of the process that made the artifact.
        artifact: the id of the artifact.
        kind: the kind of the artifact.
        what: the location or the command line of the artifact.
    """

    verb: Verb
    ns: int
    since: int
    lane: int
    owner: int
    artifact: str
    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class ScopeHistory:
    """All lanes, in the order of joining, and all events, in the order in which they happened."""

    lanes: tuple[ProcessLane, ...]
    events: tuple[ArtifactEvent, ...]

    @property
    def begin(self) -> int:
        """When the first member joined."""
        return min((lane.begin for lane in self.lanes), default=0)

    @property
    def end(self) -> int:
        """The last known moment."""
        ends = [lane.end for lane in self.lanes] + [event.ns for event in self.events]
        return max(ends, default=0)


@dataclass(slots=True)
class _ToldByJournal:
    """The content of one journal."""

    token: str
    pid: int | None = None
    started: int | None = None
    joined: int = 0
    left: int = 0
    seen: int = 0
    program: str = ""
    lane: int = 0
    made: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    marks: list[tuple[str, int, int, int]] = field(default_factory=list)  # verb, number, ns, by


def read_history(
    journals: Mapping[str, bytes],
    now: int,
    living: Collection[str] = (),
    gone: Mapping[str, int] | None = None,
    names: Mapping[int, str] | None = None,
) -> ScopeHistory:
    """The history that the journals of a scope record.

    Args:
        journals: the journals, by the token of the member.
        now: the present, in nanoseconds of the monotonic clock.
        living: the tokens of living members.
        gone: when members were found to be out, by their token, if that was observed.
        names: the names of processes, by their pid.
    """
    told = {token: _read(token, data) for token, data in journals.items()}
    _name_programs(journals, told)
    lanes: list[ProcessLane] = []
    numbers: dict[object, int] = {}
    for one in sorted(told.values(), key=lambda one: (one.joined or now, one.token)):
        lane = _lane(one, now, living, gone or {}, names or {})
        process: object = (one.pid, one.started) if one.pid else one.token
        if numbers.setdefault(process, len(lanes)) == len(lanes):
            lanes.append(lane)
        else:
            _merge(lanes[numbers[process]], lane)
        one.lane = numbers[process]
    events: list[ArtifactEvent] = []
    for one in told.values():
        events += _made(one)
        events += _marked(one, lanes)
    return ScopeHistory(tuple(lanes), tuple(sorted(events, key=lambda one: (one.ns, one.artifact))))


def _read(token: str, data: bytes) -> _ToldByJournal:
    one = _ToldByJournal(token)
    for record in records(data):
        match record:
            case ["join", int(ns), pid, started, *_]:
                one.joined, one.pid, one.started = ns, pid, started
            case ["made", int(ns), int(number), str(kind), str(location), _, _, dict(facts)]:
                one.made[number] = ns, kind, " ".join(facts.get("argv", ())) or location
            case ["left", int(ns)]:
                one.left = ns
            case [("begun" | "done" | "kept") as verb, list(numbers), int(ns), int(by)]:
                one.marks += [(verb, number, ns, by) for number in numbers]
    one.seen = max(
        one.joined,
        one.left,
        *(ns for ns, _, _ in one.made.values()),
        *(ns for _, _, ns, by in one.marks if by == one.pid),
    )
    return one


def _name_programs(journals: Mapping[str, bytes], told: Mapping[str, _ToldByJournal]) -> None:
    """Complete programs without lastout, whose starters recorded them as members."""
    for data in journals.values():
        started: dict[int, tuple[int, str]] = {}
        for record in records(data):
            match record:
                case ["made", int(ns), int(number), "popen", _, _, _, {"argv": [program, *words]}]:
                    started[number] = ns, " ".join([os.path.basename(program), *words])
                case [
                    "more",
                    int(number),
                    {"member": str(token), "pid": int(pid), "started": since},
                ] if token in told:
                    one = told[token]
                    one.joined, one.program = started[number]
                    one.pid, one.started = pid, since
                    one.seen = max(one.seen, one.joined)


def _lane(
    one: _ToldByJournal,
    now: int,
    living: Collection[str],
    gone: Mapping[str, int],
    names: Mapping[int, str],
) -> ProcessLane:
    name = names.get(one.pid or 0, one.program)
    label = " ".join(filter(None, [f"pid {one.pid}" if one.pid else one.token[:8], name]))
    how, end = _how_it_ended(one, now, living, gone)
    seen = end if one.token in gone else min(one.seen or end, end)
    return ProcessLane(label, one.pid, one.joined or end, end, seen, how)


_SURE: Final = ("out", "left", "died", "alive")


def _merge(lane: ProcessLane, other: ProcessLane) -> None:
    """Add another membership of the same process to its lane."""
    lane.label = max(lane.label, other.label, key=len)
    lane.begin, lane.seen = min(lane.begin, other.begin), max(lane.seen, other.seen)
    # The membership of which most is known says best how the process ended.
    lane.how, lane.end = max(
        (lane.how, lane.end), (other.how, other.end), key=lambda one: (_SURE.index(one[0]), one[1])
    )
    lane.seen = min(lane.seen, lane.end)


def _how_it_ended(
    one: _ToldByJournal, now: int, living: Collection[str], gone: Mapping[str, int]
) -> tuple[End, int]:
    if one.token in living:
        return "alive", now
    if one.left:
        return "left", one.left
    by_others = [ns for _, _, ns, by in one.marks if by != one.pid and ns > one.seen]
    if by_others and one.pid:
        return "died", min(*by_others, gone.get(one.token, now))
    cleaned = {number for verb, number, _, _ in one.marks if verb != "begun"}
    if one.made and cleaned >= set(one.made):
        return "left", one.seen  # because it cleaned all its artifacts
    if one.token in gone:
        return "out", gone[one.token]
    return "died", now


def _made(one: _ToldByJournal) -> list[ArtifactEvent]:
    return [
        ArtifactEvent("made", ns, ns, one.lane, one.lane, f"{one.token}.{number}", kind, what)
        for number, (ns, kind, what) in one.made.items()
    ]


def _marked(one: _ToldByJournal, lanes: list[ProcessLane]) -> list[ArtifactEvent]:
    """The cleanups of a member's artifacts; adds lanes for processes that are no members."""
    events, begun = [], dict[int, int]()
    for verb, number, ns, by in one.marks:
        if verb == "begun" or number not in one.made:
            begun[number] = ns
            continue
        lane = _lane_of(by, one.lane, ns, lanes)
        _, kind, what = one.made[number]
        done: Verb = "cleaned" if verb == "done" else "kept"
        since = begun.get(number, ns)
        events.append(
            ArtifactEvent(done, ns, since, lane, one.lane, f"{one.token}.{number}", kind, what)
        )
        lanes[lane].begin = min(lanes[lane].begin, since)
        lanes[lane].end = max(lanes[lane].end, ns)
    return events


def _lane_of(pid: int, owner: int, ns: int, lanes: list[ProcessLane]) -> int:
    """The number of the lane of a process; the owner's if the pid was reused."""
    if lanes[owner].pid == pid:
        return owner
    for number, lane in enumerate(lanes):
        if lane.pid == pid:
            return number
    lanes.append(ProcessLane(f"reaper pid {pid}", pid, ns, ns, ns, "out"))
    return len(lanes) - 1
