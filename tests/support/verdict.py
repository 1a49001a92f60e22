"""The judge of a storm: what its processes said, against what must hold.

It uses nothing of lastout.  It knows who was alive when from what each process said
itself, so it may miss a fault, but it never sees one that is none: a process is known
to have been a member from its "up" to its last word before anybody sent it a signal.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADOPTER = 1  # the parent of a cleanup whose own parent was killed before it could say so


class Thing:
    """Something that was made, and when each thing was said of it."""

    def __init__(self, maker: int, kind: str, lifetime: str, where: str, at: int) -> None:
        self.maker = maker
        self.kind = kind
        self.lifetime = lifetime
        self.where = where
        self.making = at
        self.made: int | None = None
        self.after = ""
        self.released: int | None = None
        self.runs: list[tuple[int, int]] = []  # when, by whom

    @property
    def tells(self) -> bool:
        """Whether it says so when it is cleaned."""
        return self.kind in ("command", "callback")


class Verdict:
    """What is wrong with a storm.

    Args:
        lines: what its processes said, and `signal PID` before each signal that was sent.

    Attributes:
        lines: what was said.
        things: all that was made, or was going to be.
        pids: all processes that were members.
        wrong: one line for each fault.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        self.things: dict[str, Thing] = {}
        self.pids: set[int] = set()
        self.wrong: list[str] = []
        self._up: dict[int, int] = {}
        self._last: dict[int, int] = {}  # when each was surely still a member
        self._signalled: dict[int, int] = {}  # since when
        self._ending: set[int] = set()
        self._at: defaultdict[str, set[int]] = defaultdict(set)  # place in the tree -> who
        self._left: set[int] = set()
        self._joining: set[int] = set()
        for at, line in enumerate(self.lines):
            verb, *words = line.split(maxsplit=5)
            hear = getattr(self, f"_hear_{verb}", None)
            if hear:
                hear(at, *words)
        self._judge()

    # Hearing.

    def _alive(self, pid: str, at: int) -> None:
        if self._is_free(pid):
            self._last[int(pid)] = at

    def _is_free(self, pid: str) -> bool:
        """Whether nobody ends it: not this storm, and neither its pool nor a guardian."""
        return int(pid) not in self._signalled and int(pid) not in self._ending

    def _hear_signal(self, at: int, pid: str) -> None:
        self._signalled.setdefault(int(pid), at)

    def _hear_ending(self, _at: int, pid: str) -> None:
        self._ending.add(int(pid))

    def _hear_joining(self, _at: int, pid: str) -> None:
        self._joining.add(int(pid))

    def _hear_up(self, at: int, place: str, pid: str) -> None:
        self.pids.add(int(pid))
        self._at[place].add(int(pid))
        self._up.setdefault(int(pid), at)
        self._alive(pid, at)

    def _hear_making(self, at: int, name: str, pid: str, *what: str) -> None:
        kind, lifetime, where = what
        self.things[name] = Thing(int(pid), kind, lifetime, where, at)
        self._alive(pid, at)

    def _hear_made(self, at: int, name: str, pid: str, after: str) -> None:
        self.things[name].made = at
        self.things[name].after = "" if after == "-" else after
        self._alive(pid, at)

    def _hear_releasing(self, at: int, name: str, pid: str) -> None:
        self.things[name].released = at
        self._alive(pid, at)

    def _hear_leaving(self, at: int, _place: str, pid: str) -> None:
        self._alive(pid, at)

    def _hear_left(self, _at: int, _place: str, pid: str) -> None:
        self._left.add(int(pid))

    def _hear_ran(self, at: int, name: str, pid: str) -> None:
        if name in self.things:
            self.things[name].runs.append((at, int(pid)))
        else:
            self.wrong.append(f"{name} was cleaned, and never made")

    def _hear_lost(self, _at: int, where: str, pid: str) -> None:
        if self._is_free(pid):
            self.wrong.append(f"{where} was gone under {pid}")

    def _hear_open(self, _at: int, pid: str, *what: str) -> None:
        if int(pid) not in self._signalled:
            self.wrong.append(f"{pid} had open: {' '.join(what)}")

    def _hear_outside(self, _at: int, place: str, pid: str) -> None:
        """Only one that a signal has made leave starts others without a scope."""
        if not self._at[place.rpartition(".")[0]] & (self._signalled.keys() | self._ending):
            self.wrong.append(f"{place} ({pid}) was in no scope")

    def _hear_failed(self, _at: int, place: str, pid: str, *error: str) -> None:
        if self._is_free(pid):
            self.wrong.append(f"{place} ({pid}) failed: {' '.join(error)}")

    # Judging.

    def _judge(self) -> None:
        for name, thing in self.things.items():
            for at, cleaner in thing.runs:
                self._under_somebody(name, thing, at, cleaner)
            self._twice(name, thing)
            if thing.after:
                self._too_early(name, thing, self.things[thing.after])
            if thing.tells and thing.made is not None and not thing.runs:
                self.wrong.append(f"{name} was never cleaned")
        self._newest_first()

    def _under_somebody(self, name: str, thing: Thing, at: int, cleaner: int) -> None:
        if thing.released is not None and thing.released < at:
            return
        users = self._up if thing.lifetime == "scope" else {thing.maker}
        for pid in users:
            if pid != cleaner and self._up.get(pid, at) < at < self._last.get(pid, 0):
                self.wrong.append(f"{name} was cleaned by {cleaner} under {pid}")

    def _twice(self, name: str, thing: Thing) -> None:
        for (at, first), (later, second) in combinations(thing.runs, 2):
            # What the second one had begun may have said so only after its death.
            fine = self._may_be_killed(first, later) or self._may_be_killed(second, at)
            if first == second != _ADOPTER or not fine:
                self.wrong.append(f"{name} was cleaned by {first}, and again by {second}")

    def _may_be_killed(self, pid: int, before: int) -> bool:
        """Whether somebody may have killed it before that: the storm, or its own pool."""
        if pid in self._signalled:
            return self._signalled[pid] < before
        # A pool that is broken kills its workers, those too that had nothing to do yet.
        return pid in self.pids | self._joining | {_ADOPTER} and pid not in self._left

    def _too_early(self, name: str, thing: Thing, earlier: Thing) -> None:
        if thing.runs and earlier.made is not None:
            first, last = thing.runs[0][0], max((at for at, _ in earlier.runs), default=None)
            if last is None or last > first:
                self.wrong.append(f"{name} was cleaned before what must go first")

    def _newest_first(self) -> None:
        """Of those that belong to the scope; a member's own may become due at any time."""
        tied = {thing.after for thing in self.things.values()}
        by_cleaner: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        for name, thing in self.things.items():
            if thing.lifetime == "scope" and not thing.after and name not in tied:
                for at, cleaner in thing.runs:
                    if thing.released is None or at < thing.released:
                        by_cleaner[cleaner].append((at, name))
        for runs in by_cleaner.values():
            runs.sort()
            for (at, one), (_, other) in pairwise(runs):
                older, newer = self.things[one], self.things[other]
                surely_older = older.made is not None and older.made < newer.making
                if surely_older and newer.made is not None and newer.made < at:
                    self.wrong.append(f"{one} was cleaned before {other}, which is newer")
