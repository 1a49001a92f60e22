"""Whatever is dead by the whole rule wakes the guardian by its cheaper one."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from lastout._scopes.records.liveness import WatchState, counts_as_dead, watch_state


class Truth(NamedTuple):
    """What is the case with a member, whoever looks."""

    locked: bool
    left: bool
    named: bool
    runs: bool
    executed: bool
    made: bool

    def is_dead(self) -> bool:
        """By the whole rule, as another process sees it."""
        return counts_as_dead(
            locked=self.locked,
            left=self.left,
            is_ours=None,
            runs=self.named and self.runs,
            executed=self.executed,
            made=self.made,
        )

    def watched(self, before: WatchState | None, asks_lock: bool = True) -> WatchState:
        """By the guardian's rule; a process that ended is not followed, nor one that did before."""
        follows = self.named and self.runs and before is not WatchState.ENDED
        locked = self.locked or not asks_lock
        return watch_state(named=self.named, follows=follows, before=before, locked=locked)


truths = st.builds(Truth, *([st.booleans()] * 6))
states = st.none() | st.sampled_from([WatchState.SILENT, WatchState.LOCKED])


def looked_at(truth: Truth, before: WatchState | None) -> WatchState:
    """The state after a look, and the second one that follows by itself on a silent member."""
    state = truth.watched(before)
    return truth.watched(state) if state is WatchState.SILENT else state


@given(truths, states)
def test_the_dead_wake_the_guardian(truth: Truth, before: WatchState | None) -> None:
    """A dead member has a job, or a process that lives on and wakes the guardian when it ends."""
    state = looked_at(truth, before)
    if truth.is_dead() and state is not WatchState.DEAD:
        assert state is WatchState.FOLLOWED
        assert truth.runs
        assert looked_at(truth._replace(runs=False), WatchState.ENDED) is WatchState.DEAD


@given(truths, states)
def test_death_is_an_event(truth: Truth, before: WatchState | None) -> None:
    """Of a living member the guardian waits for what keeps it alive: its process, or its lock."""
    if truth.is_dead():
        return
    state = looked_at(truth, before)
    assert state in (WatchState.FOLLOWED, WatchState.LOCKED)
    assert truth.runs if state is WatchState.FOLLOWED else truth.locked


@given(truths, states)
def test_the_lock_is_asked_for_last(truth: Truth, before: WatchState | None) -> None:
    """Where the lock was not asked for, the state is the same unless that is waited for."""
    state = truth.watched(before, asks_lock=False)
    assert state is not WatchState.DEAD
    if state is not WatchState.LOCKED:
        assert truth.watched(before) is state
