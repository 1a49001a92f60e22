"""Artifact: a value, and a handle that looks its scope up."""

from __future__ import annotations

import copy
import os
import pickle

import pytest

from lastout import UsageError
from lastout._scopes.records.artifact import Artifact, keep_here

THING = Artifact("abc.7", "directory", "/tmp/x", data={"inode": 5}, made_ns=12, scope="/r/s")


class LimitKeeper:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Artifact]] = []

    def release(self, artifact: Artifact) -> None:
        self.seen.append(("release", artifact))

    def keep(self, artifact: Artifact) -> None:
        self.seen.append(("keep", artifact))


def test_artifacts_are_equal_by_their_fields() -> None:
    """Artifacts are equal by their fields, and survive pickling and copying."""
    for twin in (pickle.loads(pickle.dumps(THING)), copy.copy(THING), copy.deepcopy(THING)):
        assert twin == THING
        assert hash(twin) == hash(THING)
    assert THING.with_data({"device": 1}) != THING
    assert THING != "abc.7"


def test_who_made_it() -> None:
    """The id says which member made it, and its number there."""
    assert (THING.member, THING.number) == ("abc", 7)


def test_an_artifact_at_a_path_can_be_used_as_one() -> None:
    """What is found at a path can be used as one; the rest cannot."""
    assert os.path.join(THING, "y") == "/tmp/x/y"
    assert str(THING) == "/tmp/x"
    assert os.fspath(THING / "y") == "/tmp/x/y"
    with pytest.raises(TypeError, match="popen"):
        os.fspath(Artifact("abc.8", "popen", "sleep"))


def test_its_place() -> None:
    """The place of a process is the directory it runs in; what has none has none."""
    assert THING.place == "/tmp/x"
    assert Artifact("a.1", "popen", "sleep", data={"cwd": "/tmp/x"}).place == "/tmp/x"
    assert Artifact("a.1", "semaphore", "/sem").place == ""


def test_more_facts() -> None:
    """Later facts are added in a new value; the old one stays as it was."""
    assert THING.with_data({"device": 1}).data == {"inode": 5, "device": 1}
    assert THING.data == {"inode": 5}


def test_it_finds_its_scope() -> None:
    """Release and keep go to the scope that this process joined at that path."""
    keeper = LimitKeeper()
    keep_here("/r/s", keeper)
    try:
        THING.release()
        pickle.loads(pickle.dumps(THING)).keep()
    finally:
        keep_here("/r/s", None)
    assert keeper.seen == [("release", THING), ("keep", THING)]


def test_a_scope_that_was_not_joined() -> None:
    """Without its scope it says which one to join."""
    with pytest.raises(UsageError, match="/r/s"):
        THING.release()
    with pytest.raises(UsageError, match="join"):
        THING.keep()
