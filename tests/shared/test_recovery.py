"""Recovery: whoever is killed, wherever, the next one cleans: once, in order, nothing alive."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope, UsageError
from lastout.errors import RootRefused
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

MEMBER = """
    import os, sys
    import lastout
    from say import say

    scope = lastout.Scope("s")
    shared = scope.directory()
    mine = scope.directory(lifetime="member")
    inside = scope.file(shared / "x")
    server = scope.popen(["sleep", "300"], cwd=shared, lifetime="member")
    say(shared, mine, inside, server.pid)
    say("ready")
    input()
"""


class Member:
    """A program with a directory of the scope, one of its own, and a server."""

    def __init__(self, program: Callable[..., Program]) -> None:
        self.program = program(MEMBER)
        self.program.wait_for("ready")
        shared, mine, inside, server = self.program.lines[0].split()
        self.shared, self.mine, self.inside = Path(shared), Path(mine), Path(inside)
        self.server = int(server)

    def kill(self) -> None:
        self.program.kill()
        self.program.end()

    @property
    def serves(self) -> bool:
        try:
            stat = Path(f"/proc/{self.server}/stat").read_text()
        except FileNotFoundError:
            return False
        return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def root() -> list[str]:
    return os.listdir(os.environ["LASTOUT_ROOT"])


def test_one_is_killed(program: Callable[..., Program]) -> None:
    """What was only the killed one's goes; what is the scope's, and the other's, stays."""
    killed, other = Member(program), Member(program)
    killed.kill()
    assert killed.mine.exists()
    report = lastout.reap()
    assert [one.name.split()[0] for one in report] == ["popen", "directory"]
    assert not killed.mine.exists()
    assert not killed.serves
    assert killed.inside.exists()
    assert other.mine.exists()
    assert other.serves
    assert len(lastout.reap()) == 0
    other.program.tell()
    other.program.end()
    assert not killed.shared.exists()
    assert not other.shared.exists()
    assert root() == []


def test_all_are_killed(program: Callable[..., Program]) -> None:
    """When all are killed, one reap cleans everything, newest first over all of them."""
    members = [Member(program) for _ in range(3)]
    for member in members:
        member.kill()
    report = lastout.reap()
    assert report.ok, report
    kinds = [one.name.split()[0] for one in report]
    assert kinds == ["popen", "file", "directory", "directory"] * 3
    for member in members:
        assert not member.shared.exists()
        assert not member.mine.exists()
        assert not member.serves
    assert root() == []


@pytest.mark.parametrize("how", ["join", "leave"])
def test_the_next_one_cleans(program: Callable[..., Program], how: str) -> None:
    """Whoever joins or leaves next cleans up after the killed one."""
    other = Scope("s") if how == "leave" else None
    killed = Member(program)
    killed.kill()
    if other is None:
        with Scope("s") as other:
            assert other.report.ok
            assert len(other.report) == 4
            assert not killed.shared.exists()
    else:
        other.leave()
    assert not killed.shared.exists()
    assert not killed.mine.exists()
    assert not killed.serves
    assert root() == []


def test_a_server_goes_before_the_directory_of_another(program: Callable[..., Program]) -> None:
    """A server that one made inside another's directory goes first, whoever made which when."""
    child = program("""
        import os, signal
        import lastout
        from say import say

        scope = lastout.Scope("s")
        pid = os.fork()
        if not pid:
            here = os.path.abspath("d")
            os.mkdir(here)
            server = scope.popen(["sleep", "300"], cwd=here)
            say("ready")
            signal.pause()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        scope.track("directory", "d")
        say("tracked")
        os.waitpid(pid, 0)
        input()
    """)
    child.wait_for("ready")
    os.kill(int(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text()), signal.SIGKILL)
    child.wait_for("tracked")
    child.kill()
    child.end()
    assert [one.name.split()[0] for one in lastout.reap()] == ["popen", "directory"]
    assert root() == []


def test_after_of_a_killed_one(program: Callable[..., Program]) -> None:
    """`after` is obeyed across processes and after their death."""
    child = program("""
        import os
        import lastout
        from say import say

        scope = lastout.Scope("s")
        first = scope.command(["/bin/sh", "-c", "echo first >>log"], cwd=os.getcwd())
        pid = os.fork()
        if not pid:
            scope.command(["/bin/sh", "-c", "echo second >>log"], cwd=os.getcwd(), after=first)
            os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
        say("ready")
        input()
    """)
    child.wait_for("ready")
    child.kill()
    child.end()
    assert len(lastout.reap().done) == 2
    assert (child.directory / "log").read_text() == "first\nsecond\n"


def test_the_cleaner_is_killed(program: Callable[..., Program]) -> None:
    """A cleaner killed in the middle frees the scope; the next one does the rest, and no more."""
    killed = program("""
        import os
        import lastout
        from say import say

        open("hang", "w").close()
        scope = lastout.Scope("s")
        for number, end in enumerate(["true", "test ! -e hang || exec sleep 300", "true"]):
            scope.command(["/bin/sh", "-c", "echo %d >>log; %s" % (number, end)], cwd=os.getcwd())
        say("ready")
        input()
    """)
    killed.wait_for("ready")
    killed.kill()
    killed.end()
    cleaner = program("import lastout; lastout.reap()")
    log = killed.directory / "log"
    assert eventually(lambda: _running("sleep 300"), 30)
    os.killpg(cleaner.pid, signal.SIGKILL)
    cleaner.end()
    for sleeper in _running("sleep 300"):
        os.kill(sleeper, signal.SIGKILL)
    (killed.directory / "hang").unlink()
    assert lastout.reap().ok
    # Number 1 was begun and is tried again; number 2 was done.
    assert log.read_text() == "2\n1\n1\n0\n"
    assert root() == []


def _running(command: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
            mark = f"LASTOUT_TEST={os.environ['LASTOUT_TEST']}".encode()
            if words == command.encode() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or it is somebody else's
    return found


@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
def test_a_pool_goes_on(program: Callable[..., Program], package: str) -> None:
    """A pool's killed worker is replaced, and the one in its place cleans up after it."""
    child = program(
        """
        import importlib, os, sys
        import lastout
        from say import say
        from tasks import begin, die, count

        if __name__ == "__main__":
            context = importlib.import_module(sys.argv[1]).get_context("fork")
            with lastout.Scope("s") as scope:
                with context.Pool(1, initializer=scope.worker) as pool:
                    scratch, pid = pool.apply(begin)
                    pool.apply_async(die)
                    say(pool.apply(count) != pid, os.path.exists(scratch))
                    say("alive", len(scope.members()))
        """,
        modules={
            "tasks": """
                import os, signal
                import lastout
                def begin():
                    path = lastout.current_scope().directory(lifetime="member")
                    return os.fspath(path), os.getpid()
                def die():
                    os.kill(os.getpid(), signal.SIGKILL)
                def count():
                    return os.getpid()
            """
        },
        args=[package],
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["True False", "alive 2"]


def test_killed_while_exiting_is_dead_at_once(program: Callable[..., Program]) -> None:
    """A process on its way out is dead as soon as its lock is free: 100 times of 100."""
    child = program("""
        import os, signal
        import lastout
        from say import say

        missed = 0
        for _ in range(100):
            scope = lastout.Scope("s")
            read, write = os.pipe()
            pid = os.fork()
            if not pid:
                scope.file(lifetime="member")
                os.write(write, b".")
                signal.pause()
            os.read(read, 1)
            os.kill(pid, 9)
            while next(one for one in scope.members() if one.pid == pid).alive:
                pass
            report = scope.leave()
            missed += os.path.exists(scope.path) or len(report.done) != 1
            os.waitpid(pid, 0)
            os.close(read)
            os.close(write)
        say("missed", missed)
    """)
    ended = child.end(100)
    assert ended.status == 0, ended.err
    assert child.lines == ["missed 0"]


def test_nobody_is_there() -> None:
    """Where there is no scope, nothing is done, and nothing made."""
    assert len(lastout.reap()) == 0
    assert len(lastout.reap(name="none")) == 0
    assert not os.path.exists(os.environ["LASTOUT_ROOT"])


def test_bad_arguments(tmp_path: Path) -> None:
    """A name that no scope can have, and a root that cannot be trusted, are refused."""
    with pytest.raises(UsageError):
        lastout.reap(name="a/b")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(RootRefused):
        lastout.reap(tmp_path / "link")


def test_one_bad_scope_does_not_stop_the_rest(program: Callable[..., Program]) -> None:
    """A scope that cannot be used is reported, and the others are reaped."""
    killed = Member(program)
    killed.kill()
    bad = Path(os.environ["LASTOUT_ROOT"], "bad")
    bad.mkdir()
    bad.chmod(0o777)
    report = lastout.reap()
    assert [type(one.failure.exception) for one in report.failed if one.failure] == [RootRefused]
    assert not killed.shared.exists()
    bad.rmdir()


def test_a_program_that_is_a_member_ends_with_its_starter(program: Callable[..., Program]) -> None:
    """What only a dead member's program kept alive is cleaned by the same reap that ends it."""
    child = program(
        """
        import lastout
        from say import say

        scope = lastout.Scope("s")
        place = scope.directory()
        server = scope.popen(["sleep", "300"], lifetime="member", member=True)
        say(place, server.pid)
        say("ready")
        input()
        """
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    report = lastout.reap()
    assert [one.name.split()[0] for one in report] == ["popen", "directory"]
    assert not Path(child.lines[0].split()[0]).exists()
    assert root() == []


def test_other_scopes_of_an_ended_program_are_cleaned_too(program: Callable[..., Program]) -> None:
    """A program that is ended by the reap of one scope was in another, before it in the list."""
    child = program(
        """
        import sys
        import lastout
        from say import say

        code = (
            "import lastout; from say import say; scope = lastout.Scope('a');"
            "say(scope.directory()); say('ready'); input()"
        )
        scope = lastout.Scope("b")
        scope.popen([sys.executable, "-c", code], lifetime="member", grace=0)
        input()
        """
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    report = lastout.reap()
    assert [one.name.split()[0] for one in report] == ["directory", "popen"]
    assert not Path(child.lines[0]).exists()
    assert root() == []
