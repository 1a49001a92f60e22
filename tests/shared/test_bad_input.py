"""Bad input of every kind: a clear error, at once, and nothing lost."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope, UsageError
from lastout._scopes.records import journal
from lastout._scopes.records.liveness import ours
from lastout.backends.local import LocalBackend
from lastout.errors import (
    CleanupFailed,
    CleanupTimeout,
    JournalDamaged,
    JournalTooNew,
    SystemRefused,
)
from support.artifacts import failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

LONG = "x" * 300


# Roots.


@pytest.mark.parametrize(
    ("below", "reason"),
    [
        ("file/root", "on the way"),
        (LONG, "shorter"),
        ("y/" * 2100, "shorter"),
        ("round/root", "cannot open"),
    ],
)
def test_a_root_that_cannot_be_reached(tmp_path: Path, below: str, reason: str) -> None:
    """A root behind a file, behind links in a circle, or with too long a name is an error."""
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to("round")
    root = os.path.join(tmp_path, below)
    with pytest.raises(SystemRefused, match=reason):
        Scope("s", root=root)
    with pytest.raises(SystemRefused, match=reason):
        lastout.reap(root)


def test_a_root_that_no_file_system_has() -> None:
    """A lone surrogate, a NUL and nothing at all are the caller's mistakes."""
    for root in ("\ud800", "a\0b", ""):
        with pytest.raises(UsageError, match="cannot be a directory"):
            Scope("s", root=root)


def test_odd_roots(tmp_path: Path, program: Callable[..., Program]) -> None:
    """Newlines and undecodable bytes in the root's path are fine, for other programs too."""
    root = os.fsencode(tmp_path) + b"/new\nline \xff\xfe"
    with Scope("s", root=os.fsdecode(root)) as scope:
        child = program(
            """
            import lastout
            from say import say
            say(len(lastout.current_scope().members()))
            """,
            env={"LASTOUT_SCOPE": scope.path},
        )
        assert child.end().status == 0
        assert child.lines == ["2"]
    assert os.listdir(root) == []


# Names.


@pytest.mark.parametrize(
    "name", ["a/b", "a\0b", LONG, "\ud800", ""], ids=["slash", "nul", "long", "surrogate", "empty"]
)
@pytest.mark.parametrize("kind", ["directory", "file", "socket", "shared_memory", "semaphore"])
def test_impossible_names_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    """What no system can have is refused, and neither recorded nor made."""
    monkeypatch.chdir(tmp_path)
    with Scope("s") as scope:
        if kind in ("shared_memory", "semaphore"):
            with pytest.raises(UsageError):
                getattr(scope, kind)(1, name)
        else:
            with pytest.raises((UsageError, FileNotFoundError)):
                getattr(scope, kind)(name)
        assert scope.artifacts() == ()
        assert b'"made"' not in b"".join(one.read_bytes() for one in Path(scope).iterdir())
    assert [one.name for one in tmp_path.iterdir()] == ["root"]


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b'"quo\\te', b"x" * 255])
def test_odd_names_survive_their_maker(
    tmp_path: Path, program: Callable[..., Program], name: bytes
) -> None:
    """What a killed process made under an odd name is cleaned by another one."""
    child = program(
        """
        import os, sys
        import lastout
        from say import say
        scope = lastout.Scope("s")
        outer = scope.directory(os.fsencode(sys.argv[1]))
        inner = scope.file(os.path.join(outer, "in"))
        scope.command(["true", sys.argv[1]])
        say("ready")
        input()
        """,
        args=[os.fsdecode(os.path.join(os.fsencode(tmp_path), name))],
    )
    child.wait_for("ready")
    assert os.path.isdir(os.path.join(os.fsencode(tmp_path), name))
    child.kill()
    child.end()
    report = lastout.reap()
    assert report.ok, failures(report)
    assert len(report) == 3
    assert not os.path.lexists(os.path.join(os.fsencode(tmp_path), name))


@pytest.mark.parametrize("value", ["relative/s", "/", "/tmp/a\nb", LONG, "..", f"/nowhere/{LONG}"])
def test_a_scope_in_the_environment_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """LASTOUT_SCOPE with a bad value is an error, not another scope."""
    monkeypatch.setenv("LASTOUT_SCOPE", value)
    with pytest.raises(UsageError):
        lastout.current_scope()


# Journals.


def plant(tmp_path: Path, name: str, content: bytes) -> Path:
    """A dead member's journal, in the scope "s"."""
    scope = tmp_path / "root" / "s"
    scope.mkdir(0o700, parents=True, exist_ok=True)
    scope.parent.chmod(0o700)
    planted = scope / f"{name}.journal"
    planted.write_bytes(content)
    planted.chmod(0o600)
    return planted


def remove(planted: Path) -> None:
    """What its owner does with a journal that cannot be used."""
    planted.unlink()
    assert lastout.reap().ok


def entry(path: Path) -> bytes:
    """The record of a file."""
    return journal.made(1, 1, "file", str(path), "scope", (), {})


GARBAGE = [b"\ngarbage", b"\n" + b"\0" * 5000, b"\n\xff\xfe\xfd", bytes(range(256)) * 50]


@pytest.mark.parametrize("garbage", GARBAGE, ids=["text", "nul", "bytes", "binary"])
def test_garbage_in_a_journal(tmp_path: Path, garbage: bytes) -> None:
    """What can be read is obeyed; the rest is told each time, until its owner removes it."""
    victim = tmp_path / "victim"
    victim.touch()
    head = journal.header("abc")
    planted = plant(tmp_path, "abc", head + garbage + entry(victim))
    scope = Scope("s")
    assert any(isinstance(one, JournalDamaged) for one in failures(scope.report))
    scope.leave()
    assert any(isinstance(one, JournalDamaged) for one in failures(scope.report))
    assert not victim.exists()
    assert planted.read_bytes().startswith(head + garbage)
    remove(planted)


@pytest.mark.parametrize("garbage", [b"text", b"\0" * 5000, *GARBAGE], ids=range(6))
def test_nothing_but_garbage(tmp_path: Path, garbage: bytes) -> None:
    """A file that never was a journal is not taken for one of a member that made nothing."""
    planted = plant(tmp_path, "abc", garbage)
    report = lastout.reap()
    assert [type(one) for one in failures(report)] == [JournalDamaged]
    assert planted.read_bytes() == garbage
    remove(planted)


def test_sound_records_that_make_no_sense(tmp_path: Path) -> None:
    """Even with the right checksum they are damage, not a crash."""
    lines = ["{", "[]", "7", '"x"', '["made",1,"n",3,4,5,6,7]', '["join"]']
    for number, line in enumerate(lines):
        planted = plant(tmp_path, f"m{number}", journal.seal(line))
        report = lastout.reap()
        assert [type(one) for one in failures(report)] == [JournalDamaged], line
        remove(planted)


def test_a_newer_journal_stops_the_join(tmp_path: Path) -> None:
    """A scope in which a newer lastout died is not joined, and nothing in it is touched."""
    victim = tmp_path / "victim"
    victim.touch()
    newer = journal.seal(f'["lastout",{journal.FORMAT + 1},"abc"]') + entry(victim)
    planted = plant(tmp_path, "abc", newer)
    with pytest.raises(JournalTooNew, match="upgrade"):
        Scope("s")
    assert [type(one) for one in failures(lastout.reap())] == [JournalTooNew]
    assert victim.exists()
    assert planted.read_bytes() == newer
    remove(planted)


def test_a_newer_member_that_lives(tmp_path: Path) -> None:
    """Beside a living newer one we can join, make and leave; only it can clean what is shared."""
    newer = journal.seal(f'["lastout",{journal.FORMAT + 1},"abc"]')
    with LocalBackend().lock_scope("s", joining_deadline(), create=True):  # type: ignore[union-attr]
        other = LocalBackend().publish("s", "abc", newer)
    with Scope("s") as scope:
        mine = scope.file(tmp_path / "mine", lifetime="member")
        shared = scope.file(tmp_path / "shared")
        assert len(ours) == 1
    assert not os.path.exists(mine)
    assert os.path.exists(shared)
    other.append(journal.left(1))
    other.close()
    remove(Path(scope.path, "abc.journal"))
    assert not os.path.exists(shared)


def joining_deadline() -> lastout.deadline.Deadline:
    """A minute."""
    return lastout.deadline.Deadline(60)


# Things that do not belong there.


def test_a_directory_of_the_users_in_a_scope(tmp_path: Path) -> None:
    """Lastout makes no directory there, so it removes none; it is told, and joining goes on."""
    scope = Scope("s")
    Path(scope, "mine").mkdir()
    Path(scope, "mine", "precious").touch()
    made = scope.file(tmp_path / "file")
    report = scope.leave()
    assert not os.path.exists(made)
    assert ["only files" in str(one) for one in failures(report)] == [True]
    with Scope("s") as again:
        assert again.report.ok
    report = lastout.reap()
    assert ["only files" in str(one) for one in failures(report)] == [True]
    (kept,) = (tmp_path / "root").glob("garbage-*/mine/precious")
    kept.unlink()
    kept.parent.rmdir()
    assert lastout.reap().ok


def test_the_dead_had_a_directory_there(tmp_path: Path) -> None:
    """A scope that can be moved away but not deleted does not keep anybody from joining."""
    plant(tmp_path, "abc", journal.header("abc"))
    (tmp_path / "root" / "s" / "mine").mkdir()
    with Scope("s") as scope:
        assert ["only files" in str(one) for one in failures(scope.report)] == [True]
        assert len(scope.members()) == 1
    (kept,) = (tmp_path / "root").glob("garbage-*/mine")
    kept.rmdir()
    assert lastout.reap().ok


def test_a_stranger_in_the_root(tmp_path: Path) -> None:
    """A file among the scopes is none: it stays, and the scopes are reaped."""
    victim = tmp_path / "victim"
    victim.touch()
    plant(tmp_path, "abc", journal.header("abc") + entry(victim))
    stranger = tmp_path / "root" / "notes"
    stranger.touch()
    assert lastout.reap().ok
    assert not victim.exists()
    assert stranger.exists()
    stranger.unlink()


# Callbacks.


def test_one_that_cannot_be_pickled_is_not_recorded() -> None:
    """The error comes at once; nothing stays to be cleaned."""
    with Scope("s") as scope:
        with pytest.raises(UsageError, match="neither be imported"):
            scope.callback(print, (one for one in ()))
        with pytest.raises(TypeError, match="callable"):
            scope.callback(3)  # type: ignore[arg-type]
        assert scope.artifacts() == ()


def test_one_that_cannot_be_imported_any_more(
    tmp_path: Path, program: Callable[..., Program]
) -> None:
    """The rest is cleaned; it stays recorded, and runs when its module is back."""
    source = "import os\ndef done(path): os.unlink(path)\n"
    child = program(
        """
        import sys
        import lastout, goes
        from say import say
        scope = lastout.Scope("s")
        scope.directory(sys.argv[1] + "/first")
        scope.callback(goes.done, sys.argv[1] + "/mark")
        scope.directory(sys.argv[1] + "/last")
        say("ready")
        input()
        """,
        args=[str(tmp_path)],
        modules={"goes": source},
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    (tmp_path / "mark").touch()
    module = child.directory / "goes.py"
    module.rename(tmp_path / "away")
    for cached in (child.directory / "__pycache__").glob("goes.*"):
        cached.unlink()
    report = lastout.reap()
    assert [type(one) for one in failures(report)] == [CleanupFailed]
    assert "goes" in str(failures(report)[0])
    assert not (tmp_path / "first").exists()
    assert not (tmp_path / "last").exists()
    (tmp_path / "away").rename(module)
    assert lastout.reap().ok
    assert not (tmp_path / "mark").exists()


def test_cleanups_that_raise_and_hang(tmp_path: Path) -> None:
    """The rest is cleaned in time; what failed stays recorded, and is tried again."""
    end = threading.Event()
    broken = [True]

    def raises() -> None:
        if broken:
            raise RuntimeError("broken")

    def hangs() -> None:
        end.wait(60)

    scope = Scope("s")
    first = scope.file(tmp_path / "first")
    scope.callback(raises)
    scope.callback(hangs)
    last = scope.file(tmp_path / "last")
    report = scope.leave(timeout=1.0)
    assert {type(one) for one in failures(report)} == {CleanupFailed, CleanupTimeout}
    assert not os.path.exists(first)
    assert not os.path.exists(last)
    end.set()
    broken.clear()
    report = lastout.reap()
    assert report.ok, failures(report)
    assert len(report) == 2


# Order.


def test_a_cycle_across_processes_is_refused(
    tmp_path: Path, program: Callable[..., Program]
) -> None:
    """What one process makes in another's directory cannot go after that directory."""
    with Scope("s") as scope:
        outer = scope.directory(tmp_path / "outer")
        child = program(
            """
            import lastout
            from say import say
            with lastout.Scope("s") as scope:
                (outer,) = scope.artifacts()
                inner = scope.file(outer / "inner")
                try:
                    scope.directory(outer / "late", after=outer)
                except lastout.UsageError as error:
                    say("refused", (outer / "late").exists(), len(scope.artifacts()))
                beside = scope.file(str(outer) + ".beside", after=[outer, inner])
                say("ready")
                input()
            """
        )
        child.wait_for("ready")
        assert child.lines[0] == "refused False 2"
        child.kill()
        child.end()
        assert os.path.isdir(outer)
    assert [one.name.rpartition("/")[2] for one in scope.report] == [
        "inner",
        "outer",
        "outer.beside",
    ]


# Descriptors.


def test_no_descriptors_and_no_root_yet(program: Callable[..., Program]) -> None:
    """Joining for the first time without descriptors is an error, and works when there are some."""
    child = program(
        """
        import os, resource
        import lastout
        from say import say
        lastout.Scope("warm").leave()
        os.rmdir(os.environ["LASTOUT_ROOT"])
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        filled = []
        try:
            while True:
                filled.append(os.dup(0))
        except OSError:
            pass
        seen = []
        for free in range(9):
            try:
                lastout.Scope("s").leave()
                seen.append("joined")
                break
            except lastout.LastoutError as error:
                seen.append(f"{type(error).__name__} {'ulimit' in str(error)}")
            os.close(filled.pop())
        os.closerange(filled[0], filled[-1] + 1)
        seen.append(f"reaped {lastout.reap().ok}")  # what could not be deleted before
        for line in seen:
            say(line)
        """
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines[0] == "SystemRefused True"
    assert set(child.lines[:-2]) == {"SystemRefused True"}
    assert child.lines[-2:] == ["joined", "reaped True"]
