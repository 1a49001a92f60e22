"""A root that is removed while programs live, as systemd does at the end of a session."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from lastout import Scope
from lastout._platform import locks
from lastout.errors import ScopeGone
from support.artifacts import failures
from support.unshared import run_mounted, unshared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

sees_all = pytest.mark.skipif(
    not os.path.exists("/proc/locks") or os.stat("/proc/self/ns/pid").st_ino != 0xEFFFFFFC,
    reason="from within a container not all processes can be seen",
)


@pytest.fixture
def root() -> Iterator[Path]:
    """A root in memory, as that of a session: on a disk others hold locks that we may not see."""
    if not os.path.isdir("/dev/shm"):
        pytest.skip("there is no /dev/shm")
    with tempfile.TemporaryDirectory(prefix="lastout-", dir="/dev/shm") as place:
        yield Path(place, "root")


@sees_all
@pytest.mark.parametrize("guardian", [False, True])
def test_its_only_member(guardian: bool, root: Path, tmp_path: Path) -> None:
    """Who was alone in a scope knows all that is in it, and cleans it, in its order."""
    scope = Scope("s", root=root, guardian=guardian)
    directory = scope.directory(tmp_path / "made")
    scope.file(directory / "file", lifetime="member")
    process = scope.popen([sys.executable, "-c", "input()"], cwd=directory, stdin=subprocess.PIPE)
    shutil.rmtree(root)
    report = scope.leave()
    assert [(one.name.split()[0], one.status) for one in report] == [
        ("popen", "done"),
        ("file", "done"),
        ("directory", "done"),
    ]
    assert process.wait(10) != 0
    assert process.stdin is not None
    process.stdin.close()
    assert not os.path.exists(directory)
    assert not root.exists()


@sees_all
def test_at_the_end_of_the_program(
    root: Path, tmp_path: Path, program: Callable[..., Program]
) -> None:
    """A program that just ends leaves nothing, and says nothing."""
    ended = program(
        """
        import shutil, sys
        import lastout
        scope = lastout.Scope("s", root=sys.argv[1])
        scope.directory(sys.argv[2])
        shutil.rmtree(sys.argv[1])
        """,
        args=[str(root), str(tmp_path / "made")],
    ).end()
    assert (ended.status, ended.err) == (0, "")
    assert not (tmp_path / "made").exists()


@sees_all
def test_several_scopes(root: Path) -> None:
    """Members of other scopes that were removed with it do not matter."""
    scopes = [Scope(name, root=root) for name in ("a", "b")]
    made = [scope.file() for scope in scopes]
    shutil.rmtree(root)
    assert [scope.leave().ok for scope in scopes] == [True, True]
    assert not any(map(os.path.exists, made))


@sees_all
@pytest.mark.parametrize("removed", ["removed", "moved"])
@pytest.mark.parametrize("way", ["joined", "forked", "program"])
def test_another_member_lives(
    way: str, removed: str, root: Path, tmp_path: Path, program: Callable[..., Program]
) -> None:
    """Then nothing that is shared is touched, and that is told; the root may be elsewhere, too."""
    first = program(
        f"""
        import os, shutil, signal, subprocess, sys
        import lastout
        from say import say
        scope = lastout.Scope("s", root=sys.argv[1])
        made = scope.file(sys.argv[2])
        other = [sys.executable, "-c", "import lastout, sys; lastout.Scope('s', root=sys.argv[1]);"
                 "print(1, flush=True); input()", sys.argv[1]]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if {way!r} == "forked":
            reading, writing = os.pipe()
            if not os.fork():
                os.close(writing)
                os.read(reading, 1)
                report = scope.leave()
                say("child", report.ok, len(report))
                os._exit(0)
            os.close(reading)
        elif {way!r} == "program":
            other[2] = "print(1, flush=True); input()"
            process = scope.popen(other, member=True, **pipes)
            process.stdout.read(1)
            scope.artifact_of(process).keep()
        else:
            process = subprocess.Popen(other, **pipes)
            process.stdout.read(1)
        if {removed!r} == "moved":
            os.rename(sys.argv[1], sys.argv[1] + "-moved")
        else:
            shutil.rmtree(sys.argv[1])
        report = scope.leave()
        say(*[type(one.failure.exception).__name__ for one in report], os.path.exists(made))
        if {way!r} == "forked":
            os.close(writing)
            os.wait()
        else:
            process.communicate(b"\\n")
        """,
        args=[str(root), str(tmp_path / "made")],
    )
    ended = first.end()
    assert ended.status == 0
    assert first.lines[0] == "ScopeGone True"
    assert (tmp_path / "made").exists()
    (tmp_path / "made").unlink()


@sees_all
def test_children_that_have_left(
    root: Path, tmp_path: Path, program: Callable[..., Program]
) -> None:
    """Members that are gone do not keep the last one from cleaning."""
    child = program(
        """
        import os, shutil, sys
        import lastout
        from say import say
        scope = lastout.Scope("s", root=sys.argv[1])
        made = scope.file(sys.argv[2])
        pid = os.fork()
        if not pid:
            sys.exit()
        os.waitpid(pid, 0)
        shutil.rmtree(sys.argv[1])
        say(scope.leave().ok, os.path.exists(made))
        """,
        args=[str(root), str(tmp_path / "made")],
    )
    assert child.end().err == ""
    assert child.lines == ["True False"]


@sees_all
@pytest.mark.parametrize("name", ["guardian.lock", "0123456789abcdef-helper.journal"])
def test_who_only_serves(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guardians and fork servers keep no scope; any other lock in it may be a member's."""
    scopes = [Scope(one, root=root) for one in ("a", "b")]
    made = [scope.file(tmp_path / scope.name) for scope in scopes]
    shutil.rmtree(root)
    monkeypatch.setattr(locks, "locked_beside", lambda descriptor: [f"/run/a/{name} (deleted)"])
    assert scopes[0].leave().ok
    member = "/run/b/0123456789abcdef.journal (deleted)"
    monkeypatch.setattr(locks, "locked_beside", lambda descriptor: [member])
    assert not scopes[1].leave().ok
    assert [os.path.exists(one) for one in made] == [False, True]


def test_where_not_all_can_be_seen(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be in use stays, and is told."""
    monkeypatch.setattr(locks, "locked_beside", lambda descriptor: None)
    scope = Scope("s", root=root)
    made = scope.file(tmp_path / "made")
    shutil.rmtree(root)
    assert [type(one) for one in failures(scope.leave())] == [ScopeGone]
    os.unlink(made)


def test_within_a_pid_namespace(tmp_path: Path) -> None:
    """There locks of processes outside are not listed: nothing is known."""
    script = """
    import fcntl, os, sys
    from lastout._platform.locks import locked_beside
    number = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
    fcntl.flock(number, fcntl.LOCK_EX)
    print(locked_beside(number))
    """
    command = unshared("--pid", "--fork", "--kill-child", "--mount-proc")
    ran = subprocess.run(
        [*command, sys.executable, "-c", dedent(script), str(tmp_path / "file")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("None\n", "")


@sees_all
def test_locks_of_others(root: Path, program: Callable[..., Program]) -> None:
    """All files that are locked are told, with a name or without, and no others."""
    root.mkdir()

    def locked(name: str) -> int:
        number = os.open(root / name, os.O_CREAT | os.O_RDWR)
        fcntl.flock(number, fcntl.LOCK_EX)
        return number

    def told() -> list[str]:
        # Others may hold some in the same /dev/shm.
        return sorted(path for path in locks.locked_beside(numbers[0]) or () if str(root) in path)

    numbers = [locked(name) for name in ("ours", "named", "nameless")]
    try:
        os.unlink(root / "nameless")
        assert told() == [f"{root}/named", f"{root}/nameless (deleted)"]
        fcntl.flock(numbers[2], fcntl.LOCK_UN)
        assert told() == [f"{root}/named"]
        fcntl.flock(numbers[0], fcntl.LOCK_UN)
        assert locks.locked_beside(numbers[0]) is None
    finally:
        for number in numbers:
            os.close(number)


@sees_all
def test_a_lock_that_nobody_seen_holds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody holds one whose descriptors may not be looked at, nothing is known."""
    root.mkdir()
    with (root / "ours").open("w") as ours, (root / "other").open("w") as other:
        for file in (ours, other):
            fcntl.flock(file, fcntl.LOCK_EX)
        monkeypatch.setattr(locks, "_open_files", lambda device: iter([]))
        assert locks.locked_beside(ours.fileno()) is None


@sees_all
@pytest.mark.parametrize("other", [False, True])
def test_the_end_of_a_session(other: bool, tmp_path: Path) -> None:
    """What systemd does: the root is emptied, and its memory unmounted while it is in use."""
    script = f"""
    import os, subprocess, sys
    import lastout
    place, made = sys.argv[1:]
    scope = lastout.Scope("s", root=place + "/lastout")
    scope.directory(made)
    join = "import lastout, sys; lastout.Scope('s', root=sys.argv[1]); print(1, flush=1); input()"
    if {other}:
        child = subprocess.Popen([sys.executable, "-c", join, place + "/lastout"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.read(1)
    subprocess.run(["find", place, "-mindepth", "1", "-delete"], check=True)
    subprocess.run(["umount", "-l", place], check=True)
    print([one.status for one in scope.leave()], os.path.exists(made))
    if {other}:
        child.stdin.close()
        child.wait()
    """
    (tmp_path / "run").mkdir()
    ran = run_mounted('mount -t tmpfs none "$1"', script, tmp_path / "run", tmp_path / "made")
    assert ran.stdout == ("['failed'] True\n" if other else "['done'] False\n")


@sees_all
def test_two_file_systems_with_equal_numbers(tmp_path: Path) -> None:
    """A lock on another file system counts for nothing, though that file has the same number."""
    script = """
    import fcntl, os, sys
    from lastout._platform.locks import locked_beside
    there = [os.open(f"{place}/x", os.O_CREAT | os.O_RDWR) for place in sys.argv[1:]]
    for one in there:
        fcntl.flock(one, fcntl.LOCK_EX)
    print(len({os.fstat(one).st_ino for one in there}), [locked_beside(one) for one in there])
    """
    places = tmp_path / "one", tmp_path / "two"
    for place in places:
        place.mkdir()
    mount = 'mount -t tmpfs none "$1" && mount -t tmpfs none "$2"'
    ran = run_mounted(mount, script, *places)
    assert (ran.stdout, ran.stderr) == ("1 [[], []]\n", "")
