"""Inspection: a scope from outside, as values of one moment."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import lastout
from lastout._scopes.kinds import directory
from lastout._scopes.kinds.base import Size
from lastout._scopes.records import inspection, journal
from lastout._scopes.records.artifact import Artifact
from lastout._scopes.records.inspection import Process, inspect, journals, size_of
from lastout._scopes.records.journal import Journal
from lastout._scopes.records.members import KnownMember, command_line
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from support import Program

SLEEP = ("sleep", "600")


def test_there_is_none() -> None:
    """Of a scope that is not there nothing is said, and nothing is made."""
    backend = LocalBackend()
    assert inspect(backend, "nobody") is None
    assert journals(backend, "nobody") == {}
    assert not os.path.exists(backend.place)


def test_due_is_what_a_reap_would_clean(program: Callable[..., Program]) -> None:
    """What went with a dead member is due; what others may still use is not."""
    child = program(
        """
        import lastout
        scope = lastout.Scope("s")
        scope.directory()
        scope.directory(lifetime="member")
        import os; os._exit(0)
        """
    )
    child.end()
    backend = LocalBackend()
    dead = inspect(backend, "s")
    assert dead is not None
    assert (dead.state, dead.living, [one.due for one in dead.artifacts]) == (
        "abandoned",
        0,
        [True, True],
    )
    assert [one.lifetime for one in dead.due] == ["member", "scope"]
    with lastout.Scope("s") as scope:
        place = scope.directory()
        used = inspect(backend, "s")
        assert used is not None
        assert (used.state, used.living, used.due) == ("in use", 1, ())
        assert [one.artifact.location for one in used.artifacts] == [str(place)]


def test_a_member_of_another_boot_has_no_age() -> None:
    """The clock begins anew with each boot, so what another one says of it means nothing."""
    with lastout.Scope("s") as scope:
        who = lastout._identity.here()
        who.boot, who.pid = "another", 1
        lines = journal.header("a" * 16) + journal.join(1, who)
        lines += journal.made(2, 1, "file", "/nowhere/f", "scope", (), {})
        path = os.path.join(scope.path, "a" * 16 + ".journal")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(lines)
        view = inspect(LocalBackend(), "s")
        assert view is not None
        assert [(one.member.alive, one.age is None) for one in view.members] == [
            (False, True),
            (True, False),
        ]
        assert [one.age for one in view.artifacts] == [None]


def test_a_program_whose_starter_was_cut_off() -> None:
    """Of a program that was recorded, and whose pid was not yet, the rest is told."""
    data = {"member": "t", "argv": ["sleep", "600"], "boot": "", "namespace": 0}
    started = Artifact("s.1", "popen", "popen-1", "scope", (), data, 5, "s")
    known = KnownMember(Journal("t"), True, started, "here")
    assert (known.member.pid, known.member.joined_ns, known.program) == (None, 5, "sleep 600")


def test_a_program_is_shown_by_what_its_starter_wrote() -> None:
    """Of a member that only holds a lock, pid and command line come from its record."""
    with lastout.Scope("s") as scope:
        process = scope.popen(["sleep", "600"], member=True)
        assert eventually(lambda: command_line(process.pid) == SLEEP)  # none as long as it begins
        view = inspect(LocalBackend(), "s")
        assert view is not None
        [ours, other] = view.members
        assert (ours.member.pid, ours.program) == (os.getpid(), "")
        assert (other.member.pid, other.program) == (process.pid, "sleep 600")
        assert other.age is not None
        assert [one.member.argv for one in (ours, other)] == [command_line(os.getpid()), SLEEP]
        assert other.processes == (Process(process.pid, SLEEP),)
        # To a member, too.
        assert scope.members() == (ours.member, other.member)
        scope.artifact_of(process).release()


def test_members_that_keep_nothing(program: Callable[..., Program]) -> None:
    """A member is told of each other what it runs, and whether it keeps the scope; the dead not."""
    child = program(
        """
        import multiprocessing, sys
        import lastout
        from say import say
        scope = lastout.Scope("s")
        manager = multiprocessing.get_context("fork").Manager()
        say(manager._process.pid)
        say("ready")
        input()
        """
    )
    child.wait_for("ready")
    manager = int(child.lines[0])
    with lastout.Scope("s") as scope:
        found = {one.pid: one for one in scope.members()}
        assert {pid: one.keeps for pid, one in found.items()} == {
            child.pid: True,
            os.getpid(): True,
            manager: False,
        }
        assert found[child.pid].argv[1:] == (str(child.directory / "program.py"),)
        copy = pickle.loads(pickle.dumps(found[child.pid]))
        assert copy == found[child.pid]
        assert copy.keeps
        child.tell()
        child.end()
        assert eventually(lambda: len(scope.members()) == 1)
    assert [one.keeps for one in found.values()].count(True) == 2  # values of that moment


def test_a_directory_is_as_big_as_the_files_in_it(tmp_path: Path) -> None:
    """A directory is as big as the files in it; a link in it is not followed."""
    with lastout.Scope() as scope:
        place, file = scope.directory(tmp_path / "d"), scope.file(tmp_path / "f")
        (place / "below").mkdir()
        (place / "below" / "x").write_bytes(b"x" * 700)
        (place / "y").write_bytes(b"y" * 30)
        (tmp_path / "f").write_bytes(b"z" * 9)
        (place / "link").symlink_to("/usr")
        assert size_of(place) == Size(734)  # the link is the four letters that it holds
        assert size_of(file) == Size(9)
        memory = scope.shared_memory(4000)
        assert size_of(scope.artifact_of(memory)) == Size(4000)
        memory.close()
        assert size_of(scope.socket(tmp_path / "s")) is None
        os.unlink(tmp_path / "f")
        assert size_of(file) is None


def test_a_size_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over the size is that of what was seen, and says that there is more."""
    (tmp_path / "d").mkdir()
    assert directory._size_below(str(tmp_path), Deadline(0)) == Size(0, complete=False)
    monkeypatch.setattr(directory, "_ADDING", 0.0)
    with lastout.Scope() as scope:
        assert size_of(scope.directory()) == Size(0, complete=False)


def test_one_that_is_held_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scope that somebody holds for long is shown as one that cannot be read now."""
    monkeypatch.setattr(inspection, "_PATIENCE", 0.05)
    backend = LocalBackend()
    with lastout.Scope("s"):
        held = backend.lock_scope("s", Deadline(5))
        assert held is not None
        with held:
            view = inspect(backend, "s")
    assert view is not None
    assert view.state == "unreadable"
    assert "is held by another process" in view.problems[0]


def test_a_size_that_is_not_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be looked into makes a size a lower bound; a gone one has none."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "file").write_bytes(b"x" * 10)
    openly = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("inner"):
            raise PermissionError
        return openly(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert directory._size_below(str(tmp_path), Deadline()) == Size(10, complete=False)
    assert directory._size_below(str(tmp_path / "gone"), Deadline()) is None
