"""Run: which artifacts share their marks, and how long each may take."""

from __future__ import annotations

import pytest

from lastout import Artifact
from lastout._process.deadline import Deadline
from lastout._shared import run
from lastout._shared.cleaners import KINDS


def test_batches() -> None:
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

    list(run.Run(lambda *_: None, clean, Deadline())([Artifact("a.1", kind, "/x")]))
    if kind in ("callback", "command", "popen"):
        assert seconds == [None]
    else:
        assert seconds[0] is not None
        assert 50 < seconds[0] <= 60
