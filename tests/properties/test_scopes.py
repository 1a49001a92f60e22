"""The same happens on every backend, whatever members do and wherever they are killed.

Two worlds live through the same history, one in memory (the reference) and one in a
directory: members join, fork, make, release, keep, leave, are killed between two calls or
in the middle of one, and others reap.  Both must look the same after each step, and in
neither may anything be lost, cleaned twice, cleaned under somebody who needs it, or
before what must go first.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lastout.backends.local import LocalBackend
from lastout.backends.memory import MemoryBackend
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 5  # members at a time
numbers = st.integers(0, 20)
# After how many half calls a process is killed; mostly it is not.
strikes = st.none() | st.integers(0, 24)


class SameEverywhere(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.memory = World(MemoryBackend())
        self.local = World(LocalBackend(f"{self.root}/place"))
        self.worlds = self.memory, self.local
        self.made = 0

    def both(self, act: Callable[[World], Any], strike: int | None) -> Any:
        """Do it in both worlds, with the same fate; what came of it."""
        outcomes = []
        for world in self.worlds:
            world.mortal.arm(strike)
            outcomes.append(act(world))
            world.mortal.arm(None)
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    def someone(self, number: int) -> int:
        return list(self.memory.members)[number % len(self.memory.members)]

    def something(self, number: int) -> str:
        return list(self.memory.things)[number % len(self.memory.things)]

    def there_are_members(self) -> bool:
        return bool(self.memory.members)

    def there_are_members_and_things(self) -> bool:
        return bool(self.memory.members and self.memory.things)

    # --- what happens

    @initialize()
    def somebody_joins(self) -> None:
        """A history begins with two members."""
        self.join(None)
        self.join(None)

    @precondition(lambda self: len(self.memory.members) < MOST)
    @rule(strike=strikes)
    def join(self, strike: int | None) -> None:
        """A process joins."""
        self.both(World.join, strike)

    @precondition(lambda self: 0 < len(self.memory.members) < MOST)
    @rule(who=numbers, strike=strikes)
    def fork(self, who: int, strike: int | None) -> None:
        """A member forks."""
        parent = self.someone(who)
        self.both(lambda world: world.fork(parent), strike)

    @precondition(there_are_members)
    @rule(
        who=numbers,
        kind=st.sampled_from(["directory", "file", "command"]),
        lifetime=st.sampled_from(["scope", "member"]),
        inside=st.none() | numbers,
        after=st.lists(numbers, max_size=2),
        strike=strikes,
    )
    def make(
        self,
        who: int,
        kind: str,
        lifetime: str,
        inside: int | None,
        after: list[int],
        strike: int | None,
    ) -> None:
        """A member makes something, perhaps inside or to be cleaned after other things."""
        maker = self.someone(who)
        things = self.memory.things
        within = self.something(inside) if things and inside is not None else ""
        before = [self.something(one) for one in after] if things else []
        self.made += 1
        location = f"{within}/{self.made}"
        self.both(lambda world: world.make(maker, kind, location, lifetime, before), strike)

    @precondition(there_are_members_and_things)
    @rule(who=numbers, what=numbers, strike=strikes)
    def release(self, who: int, what: int, strike: int | None) -> None:
        """A member releases something, its own or another one's, gone or not."""
        member, thing = self.someone(who), self.something(what)
        if self.memory.things[thing].artifact:
            self.both(lambda world: world.release(member, thing), strike)

    @precondition(there_are_members_and_things)
    @rule(who=numbers, what=numbers, strike=strikes)
    def keep(self, who: int, what: int, strike: int | None) -> None:
        """A member has something kept."""
        member, thing = self.someone(who), self.something(what)
        if self.memory.things[thing].artifact:
            self.both(lambda world: world.keep(member, thing), strike)

    @precondition(there_are_members)
    @rule(who=numbers, strike=strikes)
    def leave(self, who: int, strike: int | None) -> None:
        """A member leaves."""
        member = self.someone(who)
        self.both(lambda world: world.leave(member), strike)

    @precondition(there_are_members)
    @rule(who=numbers)
    def die(self, who: int) -> None:
        """A member is killed while it does nothing here."""
        member = self.someone(who)
        self.both(lambda world: world.die(member), None)

    @rule(strike=strikes)
    def reap(self, strike: int | None) -> None:
        """Somebody who is no member reaps."""
        self.both(World.reap, strike)

    @precondition(lambda self: self.memory.things)
    @rule(what=numbers)
    def stick_or_come_loose(self, what: int) -> None:
        """Something cannot be cleaned for a while."""
        for world in self.worlds:
            world.stuck ^= {self.something(what)}

    # --- what must hold

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Nothing was cleaned twice, too early, or under somebody."""
        for world in self.worlds:
            assert world.wrong == []

    @invariant()
    def both_look_alike(self) -> None:
        """Members, artifacts, things, and the order in which they went, are the same."""
        assert self.memory.seen() == self.local.seen()

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """Whatever is there and was not to be kept is recorded."""
        for world in self.worlds:
            there = {one.location for one in world.things.values() if one.exists and not one.kept}
            assert there <= world.known()

    def teardown(self) -> None:
        """When all are dead, and nothing is stuck, everything goes, and the scope with it."""
        try:
            for member in list(self.memory.members):
                self.both(lambda world, who=member: world.die(who), None)  # type: ignore[misc]
            for world in self.worlds:
                world.stuck.clear()
            self.both(World.reap, None)
            self.nothing_is_wrong()
            for world in self.worlds:
                left = [
                    one.location for one in world.things.values() if one.exists and not one.kept
                ]
                assert (left, world.backend.scopes()) == ([], [])
        finally:
            shutil.rmtree(self.root)


TestSameEverywhere = SameEverywhere.TestCase
TestSameEverywhere.settings = settings(stateful_step_count=30)
