"""Run: which artifacts share their marks and their time, and what is said of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lastout import Artifact, deadline
from lastout._scopes.kinds.table import KINDS
from lastout._scopes.reaping import cleaning_pass as run
from lastout.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence


class Clock:
    """A clock that goes only when it is told to; cleaning takes 1.5 s by it."""

    def __init__(self) -> None:
        self.now = 7.0
        self.given: list[float | None] = []

    def clean(self, kind: str, location: str, data: object, limit: Deadline) -> None:
        self.given.append(limit.left())
        self.now += 1.5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (run, deadline):
        monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


def things(*kinds: str) -> list[Artifact]:
    return [Artifact(f"a.{number}", kind, f"/{number}") for number, kind in enumerate(kinds)]


def times_given(clock: Clock, seconds: float | None, kinds: Sequence[str]) -> list[float | None]:
    list(run.CleaningPass(lambda *_: None, clock.clean, Deadline(seconds))(things(*kinds)))
    return clock.given


def test_no_time_limit_is_one_of_a_minute(clock: Clock) -> None:
    """One cleanup that hangs cannot hold up the scope for more than a minute."""
    assert times_given(clock, None, ["file"]) == [60.0]


def test_time_is_halved_while_others_wait(clock: Clock) -> None:
    """Each batch gets half of the time left, and the last one all of it."""
    assert times_given(clock, 17.5, ["command", "popen", "command"]) == [8.75, 8.0, 14.5]


def test_the_last_batch_leaves_time_for_its_own(clock: Clock) -> None:
    """A batch of several has half of the time left even if it is the last: they share it."""
    assert times_given(clock, 8.0, ["file", "file"]) == [4.0, 2.5]


def test_it_is_said_how_long_each_took(clock: Clock) -> None:
    """An outcome says the seconds of its own cleaning, be it in a batch or alone."""
    outcomes = run.CleaningPass(lambda *_: None, clock.clean, Deadline())(
        things("file", "file", "popen")
    )
    assert [outcome.seconds for outcome in outcomes] == [1.5, 1.5, 1.5]


def test_plain_artifacts_of_one_member_share_their_marks() -> None:
    """Only plain artifacts of one member share their marks."""

    def thing(text: str) -> Artifact:
        member, kind = text.split()
        return Artifact(f"{member}.1", kind, "/x")

    names = [
        "a file",
        "a directory",
        "b file",
        "b popen",
        "b command",
        "b file",
        "b file",
        "bb file",
    ]
    batches = [
        [f"{one.member} {one.kind}" for one in batch]
        for batch in run._batches([*map(thing, names)])
    ]
    assert batches == [
        ["a file", "a directory"],
        ["b file"],
        ["b popen"],
        ["b command"],
        ["b file", "b file"],
        ["bb file"],
    ]
    many = [Artifact(f"a.{number}", "file", "/x") for number in range(300)]
    assert [len(batch) for batch in run._batches(many)] == [128, 128, 44]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_minute_for_what_has_no_limit_of_its_own(kind: str) -> None:
    """One cleanup holds the scope for a minute at most, unless its user could say how long."""
    seconds: list[float | None] = []

    def clean(kind: str, location: str, data: object, limit: Deadline) -> None:
        seconds.append(limit.left())

    list(run.CleaningPass(lambda *_: None, clean, Deadline())([Artifact("a.1", kind, "/x")]))
    if kind in ("callback", "command", "popen"):
        assert seconds == [None]
    else:
        assert seconds[0] is not None
        assert 50 < seconds[0] <= 60
