"""What happened in scopes, read from their journals.  Pure: bytes in, values out.

    journals of a process ==> ProcessLane: joined ... left, or died, or alive still
    each of their records ==> ArtifactEvent: made it, cleaned it; on the lane of who did it

A member that was killed writes nothing: it died between its last record and the
moment in which somebody else began to clean up after it.

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
    """One process: a member, of one scope or several, or one that only cleaned.

    Attributes:
        label: what it is called.
        pid: its process; `None` if that is not known.
        begin: when it joined, in nanoseconds.
        end: when it was out, or was found to be.
        seen: its last sign of life.
        how: `"out"` is a member of which is not known how it ended.
    """

    label: str
    pid: int | None
    begin: int
    end: int
    seen: int
    how: End


@dataclass(frozen=True, slots=True)
class ArtifactEvent:
    """Something that was done to an artifact.

    Attributes:
        verb: what was done.
        ns: when that was over.
        since: when it began.
        lane: the number of the lane of who did it.
        owner: the number of the lane of who made the artifact.
        artifact: its id.
        kind: its kind.
        what: where it is, or its command line.
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
        """The last moment that is known of."""
        ends = [lane.end for lane in self.lanes] + [event.ns for event in self.events]
        return max(ends, default=0)


@dataclass(slots=True)
class _ToldByJournal:
    """What stands in one journal."""

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
    """What the journals of a scope tell.

    Args:
        journals: by the token of the member.
        now: the time of the look, in nanoseconds of the monotonic clock.
        living: the tokens of those that are alive.
        gone: when those that are out were found to be, if that was looked for.
        names: what processes are called, by their pid.
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
    """Programs that are members without knowing it are told of by those that started them."""
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
    """Another membership of the same process."""
    lane.label = max(lane.label, other.label, key=len)
    lane.begin, lane.seen = min(lane.begin, other.begin), max(lane.seen, other.seen)
    # How it ended is known best by the one of which most is known.
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
        return "left", one.seen  # it cleaned all that it had
    if one.token in gone:
        return "out", gone[one.token]
    return "died", now


def _made(one: _ToldByJournal) -> list[ArtifactEvent]:
    return [
        ArtifactEvent("made", ns, ns, one.lane, one.lane, f"{one.token}.{number}", kind, what)
        for number, (ns, kind, what) in one.made.items()
    ]


def _marked(one: _ToldByJournal, lanes: list[ProcessLane]) -> list[ArtifactEvent]:
    """What became of its artifacts; who cleans without being a member gets a lane as well."""
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
    """The number of the lane of a process; the owner's, if a pid was handed out again."""
    if lanes[owner].pid == pid:
        return owner
    for number, lane in enumerate(lanes):
        if lane.pid == pid:
            return number
    lanes.append(ProcessLane(f"reaper pid {pid}", pid, ns, ns, ns, "out"))
    return len(lanes) - 1
