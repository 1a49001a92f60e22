"""The judge: whether what happened kept the promises.  It uses nothing of lastout.

It knows the journal format from docs/reference/journal.md, and replays the
tape of all that changed something on the disk, in the order in which it
happened.  What it holds lastout to:

    I1  nothing is made that is not recorded; at rest, what nobody may use is gone
    I2  nothing goes while a member lives that may use it; no member is ended but an orphan
    I3  what must go first went first; else the newest went first
    I4  shared things are cleaned under the scope's lock; what is done is not done again
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from .shim import KILL_AFTER, KILL_BEFORE, STOP, TEAR
from .things import Member, Thing, records

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .shim import Event

FREE = "free-"  # how files begin that a step makes itself, for commands and functions to remove
_EXCLUSIVE, _UNLOCK = 2, 8  # flock(2)
_WAITED_FOR = ("callback", "command", "popen")  # the scope is let go of meanwhile, not the turn
_ENDS_OR_STOPS = (KILL_BEFORE, KILL_AFTER, TEAR, STOP)  # other faults are error numbers


class Ledger:
    """What is known of all members and things, event by event.

    Args:
        root: the directory of the scopes.
        things: the directory in which the steps make everything.
        judge: the process that adopts orphans.

    Attributes:
        violations: what broke a promise.
    """

    def __init__(self, root: Path, things: Path, judge: int) -> None:
        self.judge = judge
        self.root = str(root)
        self.area = str(things)
        self.violations: list[str] = []
        self.members: dict[str, Member] = {}
        self.things: dict[str, Thing] = {}
        self.dead: set[int] = set()
        self.parents: dict[int, int] = {}  # of forked processes, in the order of their births
        self.programs: dict[int, tuple[int, str]] = {}  # parent, and artifact token
        self.starters: dict[int, int] = {}  # who is that parent, even if it was killed at once
        self.lockers: dict[str, tuple[int, int]] = {}  # scope: who locked it last, how many did
        self.turns: dict[str, tuple[int, int]] = {}  # likewise of cleaner.lock, by which they wait
        self.refused = False  # whether the system refused something
        self.released: set[str] = set()
        self.wanted: set[str] = set()
        self.places: dict[int, dict[str, str]] = {}  # of who said so: where functions clean
        # What each process cleaned under one lock, and what was unresolved just before each.
        self.runs: dict[tuple[int, int], list[tuple[Thing, list[Thing]]]] = {}

    def replay(self, events: Iterable[Event]) -> None:
        """Go through a tape."""
        for event in events:
            getattr(self, f"_{event.what}", self._nothing)(event)
        for run in self.runs.values():
            self._check_newest_first(run)

    def _wrong(self, promise: str, text: str) -> None:
        self.violations.append(f"{promise}: {text}")

    def _nothing(self, event: Event) -> None:
        """Of no interest to a judge: a phase."""

    def _fault(self, event: Event) -> None:
        self.refused |= event.value not in _ENDS_OR_STOPS

    # Who lives.

    def _born(self, event: Event) -> None:
        self.parents[event.pid] = event.value

    def _program(self, event: Event) -> None:
        self.programs[event.pid] = (self.starters.get(event.pid, event.value), event.text)
        for thing in self.things.values():
            if event.text and thing.place == event.text and thing.token in self.members:
                self._pass_down(self.members[thing.token].pid, event.pid)

    def _pass_down(self, parent: int | None, program: int) -> None:
        """What a process published for its program makes that the member."""
        for member in self.members.values():
            if member.publisher == parent and member.pid is None and member.published:
                member.pid = program

    def _gone(self, event: Event) -> None:
        self.dead.add(event.value)

    def _end(self, event: Event) -> None:
        self.dead.add(event.pid)

    def _killed(self, event: Event) -> None:
        self.dead.add(event.pid)

    def _signal(self, event: Event) -> None:
        _, token = self.programs.get(event.value, (0, ""))
        if event.value in self.dead:
            return  # the explorer ended it
        for member in self.members.values():
            if member.pid == event.value and not token and not self._may_be_ended(member):
                self._wrong("I2", f"{event.pid} ended {event.value}, which is no orphan")
        self.dead.add(event.value)
        for thing in self.things.values():
            if token and thing.place == token and not thing.gone:
                self._cleaned(thing, event.pid)

    def _may_be_ended(self, member: Member) -> bool:
        """Whether it is none any more, or a worker whose parent has ended."""
        return not self._alive(member) or member.parent in self.dead

    def _alive(self, member: Member, actor: int = 0) -> bool:
        if member.gone or not member.published:
            return False
        if member.pid is not None:
            return member.pid not in self.dead
        # Handed to a child that has not said so yet?
        born = list(self.parents.items())[member.since :]
        spoken = {one.pid for one in self.members.values() if one.scope == member.scope}
        return any(
            parent == member.publisher and pid not in {actor, *self.dead, *spoken}
            for pid, parent in born
        )

    def _actor(self, pid: int) -> int:
        """Who cleans, when a program does it for somebody."""
        while pid in self.programs and pid not in self.parents:
            pid = self.programs[pid][0]
        return pid

    # Journals and locks.

    def _flock(self, event: Event) -> None:
        scope, name = os.path.split(event.text)
        locks = {"scope.lock": self.lockers, "cleaner.lock": self.turns}.get(name)
        if locks is not None and event.value & (_EXCLUSIVE | _UNLOCK):
            locker, number = locks.get(scope, (0, 0))
            if event.value & _EXCLUSIVE:
                locks[scope] = (event.pid, number + 1)
            elif locker == event.pid:
                locks[scope] = (0, number)
        member = self.members.get(_token(name))
        if member and event.value & _UNLOCK and member.pid in (None, event.pid):
            member.gone = True

    def _record(self, event: Event) -> None:
        scope, name = os.path.split(event.text)
        token = _token(name)
        for verb, *fields in records(event.more):
            if verb == "lastout":
                self.members[token] = Member(scope, event.pid, len(self.parents))
            elif token not in self.members and verb in ("join", "made"):
                self._wrong("I1", f"{verb} of {token} goes into a journal that was removed")
            elif verb == "join":
                self.members[token].pid = fields[1]
            elif verb == "worker" and token in self.members:
                self.members[token].parent = fields[1]
            elif verb == "left" and token in self.members:
                self.members[token].gone = True
            elif verb == "made":
                if self.members[token].pid is None:
                    self.members[token].pid = event.pid  # it could not say so
                thing = Thing(token, fields, self.places.get(event.pid, {}))
                self.things[thing.id] = thing
            elif verb != "left":
                self._mark(token, verb, fields)

    def _mark(self, token: str, verb: str, fields: list[Any]) -> None:
        if verb == "more":
            thing = self.things[f"{token}.{fields[0]}"]
            thing.data.update(fields[1])
            thing.complete = True
        for number in fields[0] if verb in ("done", "kept") else ():
            thing = self.things[f"{token}.{number}"]
            if not thing.done:  # else it came too late: somebody released it first
                setattr(thing, verb, True)

    def _from(self, event: Event) -> None:
        scope, name = os.path.split(event.text)
        if scope == self.root and not name.startswith("garbage-"):
            for token, member in self.members.items():
                if member.scope == event.text and not member.gone:
                    self._journal_goes(token, event.pid)
            self.members = {
                token: one for token, one in self.members.items() if one.scope != event.text
            }
            self.turns.pop(event.text, None)

    def _to(self, event: Event) -> None:
        token = _token(os.path.basename(event.text))
        if token in self.members and event.text.endswith(".journal"):
            self.members[token].published = True

    def _journal_goes(self, token: str, pid: int) -> None:
        member = self.members[token]
        if self._alive(member, pid) and member.pid != pid:
            self._wrong("I2", f"{pid} removed the journal of {token}, which lives ({member.pid})")
        for thing in self.things.values():
            if thing.token == token and not thing.resolved:
                self._wrong("I1", f"the record of {thing} went before it did")
            elif thing.token == token and thing.done and not (thing.gone or thing.goes_by_program):
                self._wrong("I1", f"{thing} was never cleaned, though its record says so")
        member.gone = True

    # Things.

    def _create(self, event: Event) -> None:
        path = _shared(event)
        if event.value == 3 or not self._is_ours(path):  # a log, a lock file
            return
        thing = self._thing_at(path)
        if thing:
            thing.there = True
        elif not self._around(path) and not os.path.basename(path).startswith(FREE):
            self._wrong("I1", f"{path} was made, and nobody had recorded it")

    def _exec(self, event: Event) -> None:
        self.starters.setdefault(event.pid, event.value)
        argv = event.more.decode(errors="surrogateescape").split("\0")[:-1]
        for thing in self.things.values():
            if thing.data.get("argv") == argv and thing.kind == "popen":
                thing.there = True
            elif thing.data.get("argv") == argv and thing.done:
                self._wrong("I4", f"{thing} was done, and is done again")

    def _remove(self, event: Event) -> None:
        path, actor = _shared(event), self._actor(event.pid)
        scope, name = os.path.split(path)
        if scope.startswith(f"{self.root}/") and name.endswith(".journal"):
            if not os.path.basename(scope).startswith("garbage-") and _token(name) in self.members:
                self._journal_goes(_token(name), actor)
            return
        if not self._is_ours(path):
            return
        thing = self._thing_at(path)
        if thing:
            self._cleaned(thing, actor, event.pid != actor)
            return
        outer = self._around(path)
        if outer:
            self._check_allowed(outer, actor, event.pid != actor)
        elif not os.path.basename(path).startswith(FREE):
            self._wrong("I6", f"{actor} removed {path}, which nobody had recorded")

    def _is_ours(self, path: str) -> bool:
        return path.startswith(("/dev/shm/", f"{self.area}/"))

    def _thing_at(self, path: str) -> Thing | None:
        found = [one for one in self.things.values() if one.place == path and not one.gone]
        return found[-1] if found else None

    def _around(self, path: str) -> Thing | None:
        inside = [
            one
            for one in self.things.values()
            if one.kind == "directory" and path.startswith(f"{one.place}/") and not one.gone
        ]
        return max(inside, key=lambda one: len(one.place), default=None)

    # Promises.

    def _cleaned(self, thing: Thing, actor: int, by_program: bool = False) -> None:
        if self.members.get(thing.token) and self._undone(thing, actor):
            thing.there = False
            return
        if thing.kept:
            self._wrong("I1", f"{thing} was to be kept, and was cleaned")
        if thing.done:
            self._wrong("I4", f"{thing} was done, and is done again")
        self._check_allowed(thing, actor, by_program)
        for other in self.things.values():
            if other is not thing and other.goes_before(thing) and not other.resolved:
                self._wrong("I3", f"{thing} went before {other}")
        left = [one for one in self.things.values() if not (one.gone or one.kept or one.done)]
        thing.gone = True
        # Whoever let go of the scope in its turn has planned anew since: others have left, perhaps.
        _, number = self.lockers.get(self._scope_of(thing), (0, 0))
        self.runs.setdefault((actor, number), []).append((thing, left))

    def _undone(self, thing: Thing, actor: int) -> bool:
        """Whether its maker takes it back, because it could not be made in whole."""
        return not thing.complete and self.members[thing.token].pid == actor and not thing.done

    def _scope_of(self, thing: Thing) -> str:
        member = self.members.get(thing.token)
        return member.scope if member else ""

    def _check_allowed(self, thing: Thing, actor: int, by_program: bool) -> None:
        owner = self.members.get(thing.token)
        if any(f"{thing.place}/".startswith(f"{place}/") for place in self.released):
            return  # itself, or what must go before it
        if owner is None:
            self._wrong("I1", f"{thing} is cleaned by {actor}, after its scope was")
            return
        if thing.lifetime == "member":
            if owner.pid == actor:
                return
            users = {thing.token: owner}
        else:
            users = {
                token: one
                for token, one in self.members.items()
                if one.scope == owner.scope and one.pid != actor
            }
        living = [token for token, member in users.items() if self._alive(member, actor)]
        if living:
            self._wrong("I2", f"{actor} cleaned {thing}; alive: {living}")
        locker, _ = self.lockers.get(owner.scope, (0, 0))
        if locker != actor and thing.kind in _WAITED_FOR:
            locker, _ = self.turns.get(owner.scope, (0, 0))
        orphaned = by_program and (actor in self.dead or actor == self.judge)
        if locker != actor and not orphaned:
            self._wrong("I4", f"{actor} cleaned {thing}, and {locker} had locked the scope")

    def _check_newest_first(self, run: list[tuple[Thing, list[Thing]]]) -> None:
        for (one, left), (other, _) in pairwise(run):
            # Out of turn only because something that was left then had to go before it.
            had_to_wait = any(third.goes_before(other) for third in left)
            if one.age < other.age and not had_to_wait:
                self._wrong("I3", f"{one} went before {other}, which is newer")

    # What the explorer says.

    def _release(self, event: Event) -> None:
        self.released.add(event.text)

    def _uses(self, event: Event) -> None:
        """A child uses what its parent had when it forked; if refused, it may be no member."""
        for thing in self.things.values():
            if thing.place == event.text and thing.gone and not self.refused:
                self._wrong("I2", f"{thing} is gone, and {event.pid} was forked to use it")

    def _keep(self, event: Event) -> None:
        self.wanted.add(event.text)

    def _call(self, event: Event) -> None:
        name, _, path = event.text.partition(" ")
        self.places.setdefault(event.pid, {})[name] = path

    def _settled(self, event: Event) -> None:
        """Somebody reaped, undisturbed: what nobody may use any more must be gone."""
        for thing in self.things.values():
            owner = self.members.get(thing.token)
            if thing.resolved or (owner is None and thing.gone):
                continue
            users = [one for one in self.members.values() if owner and one.scope == owner.scope]
            if thing.lifetime == "member" and owner:
                users = [owner]
            if not any(map(self._alive, users)) and not self._waits(thing):
                self._wrong("I1", f"{thing} is there after a reap, and nobody is alive")

    def _waits(self, thing: Thing) -> bool:
        return any(one.goes_before(thing) and not one.resolved for one in self.things.values())

    def check_disk(self) -> None:
        """At the very end: what is left on the disk and in memory."""
        kept = {one.place for one in self.things.values() if one.kept and one.place in self.wanted}
        left = [path for path in self._on_disk() if not _is_in(path, kept)]
        others = {one.place for one in self.things.values()} - kept
        left += [place for place in others if place.startswith("/dev/shm/") and _exists(place)]
        left += [entry.path for entry in os.scandir(self.root)] if _exists(self.root) else []
        for path in left:
            self._wrong("I1", f"{path} is left")
        for path in kept:
            if not _exists(path):
                self._wrong("I1", f"{path} was to be kept, and is gone")
        for pid, (_, token) in self.programs.items():
            if token and _runs(pid):
                self._wrong("I1", f"the process {pid} of {token} still runs")

    def _on_disk(self) -> list[str]:
        """All that is there and was ever recorded, or should have been."""
        recorded = {one.place for one in self.things.values() if not one.kept}
        found = [
            os.path.join(directory, name)
            for directory, directories, files in os.walk(self.area)
            for name in (*directories, *files)
        ]
        free = [path for path in found if os.path.basename(path).startswith(FREE)]
        return [path for path in found if path not in free or path in recorded]


def _is_in(path: str, places: set[str]) -> bool:
    return any(f"{path}/".startswith(f"{place}/") for place in places)


def _exists(path: str) -> bool:
    return os.path.lexists(path)


def _token(name: str) -> str:
    return name.removeprefix(".").rpartition(".")[0]


def _shared(event: Event) -> str:
    """The path of a file, shared memory or semaphore."""
    return {1: "/dev/shm", 2: "/dev/shm/sem."}.get(event.value, "") + (
        event.text[1:] if event.value == 2 else event.text
    )


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[stat.rindex(b")") + 2 :].split()[0] not in b"ZX"
