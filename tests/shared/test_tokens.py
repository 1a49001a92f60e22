"""Trees of processes: known whatever a daemon overwrites, closes and leaves."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import errors
from lastout._platform import marks, pids
from lastout._scopes.kinds import popen as processes
from lastout._scopes.kinds.tokens import SearchToken
from support import eventually
from support.program import IMPORTED_FROM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# What setproctitle does to the environment: its memory is used for the title.
OVERWRITE = """
    import ctypes
    fields = open("/proc/self/stat").read().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    ctypes.memset(start, 0, end - start)
"""
CLOSE_ALL = """
    os.closerange(0, 4096)
"""
# As daemons do: a session of its own, and nobody's child; the program itself ends.
DAEMON = """
    import os, signal, sys
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    {steps}
    with open("pid.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename("pid.new", "pid")
    while True:
        signal.pause()
"""
STEPS = {
    "its environment": OVERWRITE,
    "its environment, with all descriptors closed": OVERWRITE + CLOSE_ALL,
    "its environment, in another program": """
    code = "import os, signal; open('pid.new', 'w').write(str(os.getpid()))"
    code += "; os.rename('pid.new', 'pid'); signal.pause()"
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", code], {})
""",
    "nothing": "",
}


def lives(pid: int) -> bool:
    """Whether that process is running."""
    facts = pids.process_facts(pid)
    return facts is not None and not facts.ending


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a daemon by a program of a scope's; its pid, when it has done its steps."""
    started: list[int] = []

    def start(scope: lastout.Scope, steps: str, **options: Any) -> int:
        code = dedent(DAEMON.format(steps=steps))
        scope.popen([sys.executable, "-c", code], cwd=tmp_path, **options).wait(30)
        path = tmp_path / "pid"
        assert eventually(path.exists)
        started.append(int(path.read_text()))
        path.unlink()
        return started[-1]

    yield start
    for pid in started:
        if lives(pid):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda pid=pid: not lives(pid))


@pytest.mark.parametrize("overwritten", STEPS)
def test_a_daemon_ends(overwritten: str, daemon: Callable[..., int]) -> None:
    """A daemon of a tree is ended, whatever it has overwritten."""
    with lastout.Scope() as scope:
        pid = daemon(scope, STEPS[overwritten], tree=True)
        assert any(b"LASTOUT" in entry for entry in pids.environment_of(pid)) == (
            overwritten == "nothing"
        )
    assert not lives(pid)
    assert [outcome.status for outcome in scope.report] == ["done"]


def test_a_daemon_of_a_killed_maker_ends(daemon: Callable[..., int]) -> None:
    """By whoever reaps, from the record alone."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, str(daemon(lastout.Scope("s"), OVERWRITE, tree=True)).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    pid = int(os.read(read, 100))
    os.close(read)
    os.close(write)
    assert lives(pid)
    assert [outcome.status for outcome in lastout.reap(name="s")] == ["done"]
    assert not lives(pid)


def test_without_tree_it_is_not_ended(daemon: Callable[..., int]) -> None:
    """A mark alone makes nobody a member of a group that it has left."""
    with lastout.Scope() as scope:
        pid = daemon(scope, OVERWRITE)
    assert lives(pid)


@pytest.mark.leaks("scopes", reason="a daemon stays recorded")
def test_one_that_does_not_end_is_never_done(
    daemon: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lives on is named, and stays recorded."""
    scope = lastout.Scope()
    pid = daemon(scope, OVERWRITE, tree=True, grace=0.1)
    monkeypatch.setattr(pids, "signal_held", lambda held, signum: None)
    [outcome] = scope.leave(timeout=1)
    assert isinstance(outcome.failure and outcome.failure.exception, errors.CleanupTimeout)
    assert str(pid) in str(outcome.failure and outcome.failure.exception)
    assert lives(pid)


@pytest.mark.parametrize("known", ["by its mark", "by its environment"])
def test_a_program_of_another_scope_is_none_of_the_tree(
    known: str, tmp_path: Path, daemon: Callable[..., int]
) -> None:
    """What a program of a tree starts by a scope of its own goes with that, in its order."""
    by_mark = known == "by its mark"
    overwrite = dedent(OVERWRITE) if by_mark else ""
    steps = f"""
    sys.path.insert(0, {IMPORTED_FROM!r})
    import lastout
    from lastout._platform import marks
    if not {by_mark}:
        marks.put_mark = lambda *_: None  # its mark is still that of the tree
    other = lastout.Scope("other")
    code = {overwrite!r} + "import os, signal; open('inner', 'w').close(); signal.pause()"
    inner = other.popen([sys.executable, "-c", code], start_new_session=True)
    while not os.path.exists("inner"):
        assert inner.poll() is None
    os.rename("inner", "started")
    with open("inner.pid", "w") as file:
        file.write(str(inner.pid))
"""
    with lastout.Scope() as scope:
        outer = daemon(scope, steps, tree=True, grace=0)
        inner = int((tmp_path / "inner.pid").read_text())
    assert not lives(outer)
    assert lives(inner)
    assert [outcome.status for outcome in lastout.reap(name="other")] == ["done"]
    assert not lives(inner)


EARLY = {
    "a daemon, soon to overwrite its environment": DAEMON.format(
        steps="""
    def overwrite(*_):
        import ctypes
        fields = open("/proc/self/stat").read().rpartition(")")[2].split()
        ctypes.memset(int(fields[47]), 0, int(fields[48]) - int(fields[47]))
        os.rename("pid", "overwritten")
    # Waited for, not handled: a signal just before `pause` would wake nobody.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    signal.pause = lambda: overwrite(signal.sigwait({signal.SIGUSR1}))
"""
    ),
    "a child, that did so already": """
    import os, subprocess, sys
    code = "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})"
    code += "; open('new', 'w').write(str(os.getpid())); os.rename('new', 'pid')" + chr(10)
    code += "while True: signal.sigwait({signal.SIGUSR1}); os.rename('pid', 'overwritten')"
    command = [sys.executable, "-I", "-S", "-c", code]
    child = subprocess.Popen(command, env={}, start_new_session=True)
    while not os.path.exists("overwritten"):
        assert child.poll() is None
""",
}


@pytest.mark.parametrize("what", EARLY)
def test_what_was_forked_before_the_mark(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program may be quicker than its starter: what it forked is marked too, and ended."""
    put_mark, path = marks.put_mark, tmp_path / "pid"

    def late(pid: int, mark: int) -> None:
        assert eventually(lambda: path.exists() or (tmp_path / "overwritten").exists())
        put_mark(pid, mark)

    monkeypatch.setattr(marks, "put_mark", late)
    with lastout.Scope() as scope:
        command = [sys.executable, "-c", dedent(EARLY[what])]
        program = scope.popen(command, cwd=tmp_path, tree=True)
        pid = int(path.read_text())
        os.kill(pid, signal.SIGUSR1)
        assert eventually((tmp_path / "overwritten").exists)
        assert program.wait(30) == 0
        assert lives(pid)
    assert not lives(pid)


def test_where_there_are_no_marks(
    daemon: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox may forbid them: then it is the environment alone."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "prlimit", refuse)
    with lastout.Scope() as scope:
        known = daemon(scope, "", tree=True)
        unknown = daemon(scope, OVERWRITE, tree=True)
    assert not lives(known)
    assert lives(unknown)


def test_no_descriptors_left_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is never lost because nobody could look for what it started."""

    def refuse(_: int) -> list[int]:
        raise OSError("no descriptors left")

    token = "popen-0123456789abcdef"
    with monkeypatch.context() as patch:
        patch.setattr(pids, "started_since", refuse)
        process, _ = processes._create(token, ["sleep", "600"], {}, tree=True)
    assert SearchToken(token).is_of(process.pid)
    process.kill()
    process.wait(30)
    processes.PopenKind().forget(token, {})


def test_a_guardian_is_of_no_tree() -> None:
    """A program of a tree may start one for others: it does not go with that program."""
    code = """
    import os, sys, lastout
    scope = lastout.Scope("guarded", guardian=True)
    print("ready", flush=True)
    sys.stdin.read()
    """
    with lastout.Scope() as scope:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with scope.popen([sys.executable, "-c", dedent(code)], tree=True, **pipes) as program:
            assert program.stdout.readline() == b"ready\n"
            found = [one for one in pids.process_ids() if b"guarded" in _last(one)]
            assert [marks.mark_of(one) for one in found] == [None]
            assert marks.mark_of(program.pid) is not None


def _last(pid: int) -> bytes:
    words = pids.command_line(pid)
    return os.path.basename(words[7]) if b"lastout-guardian" in words else b""


def test_a_limit_of_the_users_is_no_mark() -> None:
    """Neither no limit nor a low one is taken for a mark, or taken off."""
    child = os.fork()
    if not child:
        try:
            hard = resource.getrlimit(10)[1]
            assert marks.mark_of(os.getpid()) is None
            resource.setrlimit(10, (7, hard))
            marks.take_mark_off()
            assert resource.getrlimit(10) == (7, hard)
            assert marks.mark_of(os.getpid()) is None
            marks.put_mark(os.getpid(), marks.mark_for(5))
            assert marks.mark_of(os.getpid()) == marks.mark_for(5)
            marks.take_mark_off()
            assert resource.getrlimit(10) == (hard, hard)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("said", ["the last pid", "a lower one", "one far away"])
def test_what_was_started_since(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that came later is found, also where pids began from the start again."""
    first = subprocess.Popen(["sleep", "600"])
    second = subprocess.Popen(["sleep", "600"])
    try:
        last = {"the last pid": None, "a lower one": 2, "one far away": first.pid + 100_000}[said]
        if last is not None:
            monkeypatch.setattr(pids, "_read", lambda _: b"0 0 0 1/9 %d\n" % last)
        assert second.pid in pids.started_since(first.pid)
    finally:
        for process in (first, second):
            process.kill()
            process.wait(30)
