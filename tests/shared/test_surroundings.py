"""Hostile surroundings: other users, full and read-only disks, no descriptors, vanished files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope
from lastout._scopes.records import journal
from lastout.backends.local import LocalBackend
from lastout.errors import ArtifactReplaced, RootRefused, SystemRefused
from support import eventually
from support.artifacts import failures
from support.unprivileged import without_privileges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

OTHER = 12345  # a user that is not us
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


# Other users.


@needs_root
def test_a_root_of_another_user(tmp_path: Path) -> None:
    """A root that belongs to somebody else is neither joined nor reaped."""
    root = tmp_path / "root"
    root.mkdir(0o700)
    os.chown(root, OTHER, -1)
    with pytest.raises(RootRefused, match=f"belongs to user {OTHER}"):
        Scope("s")
    with pytest.raises(RootRefused, match=f"belongs to user {OTHER}"):
        lastout.reap()
    assert os.listdir(root) == []
    os.chown(root, os.geteuid(), -1)


@needs_root
def test_a_scope_of_another_user(tmp_path: Path) -> None:
    """Where a scope, or its lock, belongs to somebody else, that is told and nothing done."""
    with Scope("s") as scope:
        for theirs in (Path(scope), Path(scope, "scope.lock")):
            os.chown(theirs, OTHER, -1)
            assert [type(one) for one in failures(lastout.reap())] == [RootRefused]
            with pytest.raises(RootRefused, match=f"belongs to user {OTHER}"):
                scope.members()
            os.chown(theirs, os.geteuid(), -1)


@needs_root
def test_a_planted_journal(tmp_path: Path) -> None:
    """What another user's journal asks for is not done; we can join, make and leave beside it."""
    victim, called = tmp_path / "victim", tmp_path / "called"
    victim.touch()
    with Scope("s") as scope:
        planted = Path(scope, "abc.journal")
        planted.write_bytes(
            journal.header("abc")
            + journal.made(1, 1, "file", str(victim), "scope", (), {})
            + journal.made(
                2, 2, "command", "touch", "scope", (), {"argv": ["touch", str(called)], "cwd": "/"}
            )
        )
        os.chown(planted, OTHER, -1)
        planted.chmod(0o600)
        mine = scope.file(tmp_path / "mine", lifetime="member")
        report = scope.leave()
    assert [type(one) for one in failures(report)] == [RootRefused]
    assert not os.path.exists(mine)
    assert [type(one) for one in failures(lastout.reap())] == [RootRefused]
    assert victim.exists()
    assert not called.exists()
    planted.unlink()
    assert lastout.reap().ok


@needs_root
@pytest.mark.parametrize("what", ["link", "fifo", "directory", "hard link"])
def test_a_planted_journal_that_is_none(tmp_path: Path, what: str) -> None:
    """A journal that is a link, a pipe or a directory stops nobody for ever, and is told."""
    with Scope("s") as scope:
        planted = Path(scope, "abc.journal")
        if what == "link":
            planted.symlink_to(tmp_path / "elsewhere")
        elif what == "fifo":
            os.mkfifo(planted, 0o600)
        elif what == "directory":
            planted.mkdir(0o700)
        else:
            (tmp_path / "theirs").touch(0o600)
            os.chown(tmp_path / "theirs", OTHER, -1)
            os.link(tmp_path / "theirs", planted)
        report = scope.leave()
    assert len(failures(report)) == 1
    assert str(planted) in str(failures(report)[0])
    assert len(failures(lastout.reap())) == 1
    planted.rmdir() if what == "directory" else planted.unlink()
    assert lastout.reap().ok


# What took another's place.


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_path_swapped_for_a_link(tmp_path: Path, kind: str) -> None:
    """It is reported and left alone, and so is what the link points to."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").touch()
    scope = Scope("s")
    made = getattr(scope, kind)(tmp_path / "made")
    os.rename(made, tmp_path / "away")
    os.symlink(precious if kind == "directory" else precious / "data", made)
    report = scope.leave()
    assert [type(one) for one in failures(report)] == [ArtifactReplaced]
    assert (precious / "data").exists()
    os.unlink(made)
    os.rename(tmp_path / "away", made)
    assert lastout.reap().ok
    assert not os.path.lexists(made)


def test_a_directory_above_swapped_for_a_link(tmp_path: Path) -> None:
    """What has the same name behind the link is another one, and stays."""
    for name in ("above", "precious"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "deep").mkdir()
    (tmp_path / "precious" / "deep" / "data").touch()
    (tmp_path / "precious" / "file").touch()
    scope = Scope("s")
    scope.file(tmp_path / "above" / "file")
    scope.directory(tmp_path / "above" / "deep" / "made")
    (tmp_path / "precious" / "deep" / "made").mkdir()
    (tmp_path / "above").rename(tmp_path / "away")
    (tmp_path / "above").symlink_to("precious")
    report = scope.leave()
    assert [type(one) for one in failures(report)] == [ArtifactReplaced] * 2
    assert sorted(os.listdir(tmp_path / "precious")) == ["deep", "file"]
    assert sorted(os.listdir(tmp_path / "precious" / "deep")) == ["data", "made"]
    (tmp_path / "above").unlink()
    (tmp_path / "away").rename(tmp_path / "above")
    assert lastout.reap().ok


# Disks.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few pages."""
    mount = shutil.which("mount")
    point = tmp_path / "disk"
    point.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k,mode=700", "none"]
    tried = mount and subprocess.run([mount, *options, point], capture_output=True, check=False)
    if not tried or tried.returncode:
        pytest.skip("mounting is not allowed")
    yield point
    subprocess.run(["umount", point], check=True)


def fill(disk: Path) -> Path:
    """Write until nothing more goes in."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def test_joining_on_a_full_disk(small_disk: Path) -> None:
    """It is an error that helps, nothing stays, and with some space it works."""
    root = small_disk / "root"
    with Scope("s", root=root):
        pass
    ballast = fill(small_disk)
    with pytest.raises(SystemRefused, match="free some space"):
        Scope("s", root=root)
    lastout.reap(root)
    assert os.listdir(root) == []
    ballast.unlink()
    with Scope("s", root=root):
        pass


def test_a_disk_that_fills_up(small_disk: Path, tmp_path: Path) -> None:
    """All that is made is recorded, and cleaned, though nothing fits any more."""
    things = tmp_path / "things"
    things.mkdir()
    root = small_disk / "root"
    scope = Scope("s", root=root)
    ballast = fill(small_disk)
    made = 0
    with pytest.raises(SystemRefused, match="free some space"):  # noqa: PT012
        while True:
            scope.file(things / f"{made}", lifetime=("member", "scope")[made % 2])
            made += 1
    assert made > 5  # the page that was begun
    # One more where the disk was full between its record and the facts that follow it.
    there = len(os.listdir(things))
    assert there in (made, made + 1)
    assert len(scope.artifacts()) == there
    scope.leave()
    assert os.listdir(things) == []
    ballast.unlink()
    assert lastout.reap(root).ok
    assert os.listdir(root) == []


def test_a_fork_on_a_full_disk(small_disk: Path, program: Callable[..., Program]) -> None:
    """A child that cannot be handed anything leaves its parent's things alone."""
    child = program(
        """
        import os, sys
        import lastout
        from say import say
        disk = sys.argv[1]
        scope = lastout.Scope("s", root=disk + "/root")
        shared = scope.directory(disk + "/shared")
        with open(disk + "/ballast", "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        pid = os.fork()
        if not pid:
            try:
                scope.directory(disk + "/never")
            except lastout.LastoutError as error:
                say(type(error).__name__)
            scope.leave()
            os._exit(0)
        os.waitpid(pid, 0)
        say(os.path.exists(shared), os.path.exists(disk + "/never"))
        os.unlink(disk + "/ballast")
        say(scope.leave().ok, os.path.exists(shared), os.listdir(disk + "/root"))
        """,
        args=[str(small_disk)],
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines[1:] == ["True False", "True False []"], ended.err
    assert child.lines[0] in ("UsageError", "SystemRefused")


def test_a_disk_that_became_read_only(small_disk: Path, program: Callable[..., Program]) -> None:
    """Nothing can be cleaned there: it is told, and cleaned when it can be written again."""
    root, made = small_disk / "root", small_disk / "made"
    child = program(
        """
        import sys, lastout
        from say import say
        lastout.Scope("s", root=sys.argv[1]).directory(sys.argv[2])
        say("ready")
        input()
        """,
        args=[str(root), str(made)],
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    (error,) = failures(lastout.reap(root))
    assert isinstance(error, SystemRefused)
    assert "read-only" in str(error)
    with pytest.raises(SystemRefused, match="read-only"):
        Scope("s", root=root)
    assert made.exists()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert lastout.reap(root).ok
    assert not made.exists()


def test_a_scope_made_read_only(tmp_path: Path) -> None:
    """Recording and cleaning go on; who joins, and the last one out, are told what helps."""

    def live() -> None:
        with Scope("s") as scope:
            first = scope.file(tmp_path / "first")
            os.chmod(scope, 0o500)
            second = scope.file(tmp_path / "second", lifetime="member")
            with pytest.raises(SystemRefused, match="make it writable"):
                LocalBackend().publish("s", "another", b"")
            report = scope.leave()
        assert ["make it writable" in str(one) for one in failures(report)] == [True]
        assert not os.path.exists(first)
        assert not os.path.exists(second)

    assert without_privileges(live) is None
    for left in (tmp_path / "root").iterdir():
        left.chmod(0o700)
    assert lastout.reap().ok
    assert os.listdir(tmp_path / "root") == []


def test_a_root_removed_under_us(tmp_path: Path) -> None:
    """What was ours goes; another scope can be joined at once."""
    scope = Scope("s")
    mine = scope.file(tmp_path / "mine", lifetime="member")
    shutil.rmtree(tmp_path / "root")
    with Scope("s2"):
        pass
    assert scope.leave().ok
    assert not os.path.exists(mine)


# Descriptors.


def test_leaving_without_descriptors(tmp_path: Path, program: Callable[..., Program]) -> None:
    """What cannot be cleaned stays recorded, and goes though the one that left lives on."""
    child = program(
        """
        import os, resource
        import lastout
        from say import say
        scope = lastout.Scope("s")
        scope.leave()
        scope = lastout.Scope("s")
        shared, mine = scope.directory(), scope.directory(lifetime="member")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
        filled = []
        try:
            while True:
                filled.append(os.dup(0))
        except OSError:
            pass
        report = scope.leave()
        os.closerange(filled[0], filled[-1] + 1)
        say(report.ok, any("ulimit" in str(one.failure.exception) for one in report.failed))
        say("ready", shared, mine)
        input()
        """,
        env={"TMPDIR": str(tmp_path)},
    )
    assert eventually(lambda: len(child.lines) == 2)
    assert child.lines[0] == "False True"
    shared, mine = child.lines[1].split()[1:]
    assert os.path.exists(shared)
    report = lastout.reap()
    assert report.ok, failures(report)
    assert not os.path.exists(shared)
    assert not os.path.exists(mine)
    child.tell()
    assert child.end().status == 0


def test_descriptors_closed_behind_our_back(tmp_path: Path) -> None:
    """The user's files that got their numbers stay as they are; all is cleaned; nothing is lost."""
    script = """
import os, sys
import lastout
scope = lastout.Scope("s")
first = scope.directory(sys.argv[1] + "/first")
highest = max(int(name) for name in os.listdir("/proc/self/fd"))
os.closerange(3, highest + 10)
users = [open(f"{sys.argv[1]}/user{number}", "wb") for number in range(highest + 10)]
second = scope.directory(sys.argv[1] + "/second", lifetime="member")
pid = os.fork()
if not pid:
    scope.file(sys.argv[1] + "/third")
    os._exit(0)
os.waitpid(pid, 0)
print(len(scope.artifacts()))
report = scope.leave()
print(report.ok, len(report))
for user in users:
    user.write(b"mine")
    user.close()
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == ["3", "True", "3"]
    users = list(tmp_path.glob("user*"))
    assert len(users) > 10
    assert {user.read_bytes() for user in users} == {b"mine"}
    assert not [name for name in ("first", "second", "third") if (tmp_path / name).exists()]


def test_without_standard_streams(tmp_path: Path) -> None:
    """A journal is never number 0, 1 or 2, into which others print."""
    script = """
import os, sys
import lastout
os.closerange(0, 3)
with lastout.Scope("s") as scope:
    for number in range(3):
        try:
            os.write(number, b"\\nprinted by some library\\n")
        except OSError:
            pass
    scope.directory(sys.argv[1] + "/made")
    ok = scope.members() and len(scope.artifacts()) == 1
    if not os.fork():
        for number in range(3):
            try:
                os.write(number, b"\\nprinted by some library\\n")
            except OSError:
                pass
        os._exit(0)
    os.wait()
os._exit(0 if ok and scope.report.ok and not os.path.exists(sys.argv[1] + "/made") else 3)
"""
    ran = subprocess.run([sys.executable, "-c", script, tmp_path], timeout=60, check=False)
    assert ran.returncode == 0
    assert lastout.reap().ok
