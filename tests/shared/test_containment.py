"""Containment: what lies in a directory goes before it, and where it cannot go, both stay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope
from lastout._scopes.kinds import table as cleaners
from lastout._scopes.kinds.base import Kind
from lastout._scopes.kinds.table import KINDS
from lastout._scopes.records.containment import lies_in
from lastout.errors import CleanupBlocked, UnknownKind
from support.artifacts import failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from lastout._scopes.records.artifact import Artifact
    from support import Program

PATHS = ("directory", "file", "socket")


class Teapot(Kind):
    """Of a later version."""

    name = "teapot"

    def clean(self, location: str, data: object, deadline: object) -> None:
        pass


# Where it lies, relative to the directory, and where it runs.
PLACES = {
    "at a path in it": ("{directory}/below", {}),
    "deep in it": ("{directory}/a/b", {"size": 1}),
    "runs in it": ("a name", {"cwd": "{directory}"}),
    "runs deep in it": ("a name", {"cwd": "{directory}/a/b"}),
}

# Records what only a later version can clean, and dies.
MEMBER = """
    import json, os, signal, sys
    from pathlib import Path
    import lastout
    from say import say

    scope = lastout.Scope("s")
    directory = scope.directory()
    (directory / "a").mkdir()
    (directory / "a" / "b").touch()
    location, data = sys.argv[1:]
    location = location.replace("{directory}", directory.location)
    data = json.loads(data.replace("{directory}", directory.location))
    scope._membership().record("teapot", location, "scope", (), data)
    say(directory)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("location", "data", "directory"),
    [
        ("/d/x", {}, "/d"),
        ("/d/x/y", {"size": 1}, "/d/x"),
        ("/x", {}, ""),
        ("x", {}, ""),
        ("", {}, ""),
        ("module:name", {"cwd": "/d"}, "/d"),
        ("/bin/rm x", {"cwd": "/d/x"}, "/d/x"),
        ("/d/x", {"cwd": ""}, "/d"),
        ("/d/x", {"cwd": None}, "/d"),
        ("sleep 9", {"cwd": "/"}, "/"),
    ],
)
def test_the_rule(location: str, data: dict[str, object], directory: str) -> None:
    """A thing lies where it runs, else above its absolute location, else nowhere."""
    assert lies_in(location, data) == directory


# What these are is there before a scope knows of it; they are of after that rule.
HANDED_OVER = {"url", "message_queue", "sysv", "mount", "container"}


def _by_kind(one: Artifact) -> str:
    """The directory of a thing, as kinds told before anything could be of an unknown one."""
    place = one.location if one.kind in PATHS else str(one.data.get("cwd") or "")
    return place.rpartition("/")[0] if one.kind in PATHS else place


def test_every_kind_lies_where_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the eight kinds, as a scope records it, lies where its kind says."""
    monkeypatch.chdir(tmp_path)
    with Scope("s") as scope:
        made = [scope.directory(), scope.file(), scope.socket(tmp_path / "socket")]
        made += [scope.command(["/bin/true", "/a/b"]), scope.callback(os.getpid)]
        made += [scope.callback(lambda: 1), scope.file(made[0] / "inside")]
        memory, semaphore = scope.shared_memory(10), scope.semaphore()
        memory.close()
        process = scope.popen(["/bin/true"], cwd=made[0])
        made += map(scope.artifact_of, (memory, semaphore, process))
        assert {one.kind for one in made} == KINDS - HANDED_OVER
        assert [lies_in(one.location, one.data) for one in made] == list(map(_by_kind, made))


@pytest.mark.parametrize("place", PLACES)
def test_a_thing_of_an_unknown_kind_keeps_its_directory(
    program: Callable[..., Program], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the directory is touched, and both stay recorded, until a version knows it."""
    location, data = PLACES[place]
    child = program(MEMBER, args=[location, str(data).replace("'", '"')])
    child.end()
    directory = Path(child.lines[0])
    for _ in range(2):  # what stays is tried again
        report = lastout.reap(name="s")
        assert [type(one) for one in failures(report)] == [UnknownKind, CleanupBlocked]
        assert (directory / "a" / "b").exists()
        [journal] = Path(os.environ["LASTOUT_ROOT"], "s").glob("*.journal")
        assert b'"teapot"' in journal.read_bytes()
    monkeypatch.setitem(cleaners._found, "teapot", Teapot())  # a later version's
    assert lastout.reap(name="s").ok
    assert not directory.exists()
    assert os.listdir(os.environ["LASTOUT_ROOT"]) == []


def test_a_living_member_s_thing_of_an_unknown_kind_keeps_the_directory_of_a_dead_one(
    program: Callable[..., Program],
) -> None:
    """What one member has of an unknown kind keeps another's directory, without being tried."""
    with Scope("s") as scope:
        child = program(
            """
            import os, signal
            import lastout
            from say import say

            say(lastout.Scope("s").directory(lifetime="member"))
            say("ready")
            input()
            os.kill(os.getpid(), signal.SIGKILL)
            """
        )
        child.wait_for("ready")
        directory = Path(child.lines[0])
        teapot = scope._membership().record("teapot", f"{directory}/x", "scope", (), {})
        child.tell()
        child.end()
        assert len(lastout.reap(name="s")) == 0
        assert directory.exists()
        teapot.keep()
        assert lastout.reap(name="s").ok
        assert not directory.exists()
