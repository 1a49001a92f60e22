"""Run: which artifacts share their marks."""

from __future__ import annotations

from lastout import Artifact
from lastout._shared import run


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
