"""Commands as cleaners: they run anywhere, come to an end, and say why they failed."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lastout import errors
from lastout._platform import genuine, pids
from lastout._platform.process_ends import wait_for_child
from lastout._scopes.kinds import command as commands
from lastout._scopes.kinds import popen as processes
from support import eventually
from support.artifacts import Made, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def python(code: str, *args: object, **options: Any) -> Made:
    """A command that runs Python code."""
    return make("command", [sys.executable, "-c", code, *map(str, args)], **options)


def test_it_runs_when_it_is_cleaned_and_not_before(tmp_path: Path) -> None:
    """The command is the cleanup; each cleaning runs it."""
    made = make("command", ["touch", "it"], cwd=tmp_path)
    assert os.listdir(tmp_path) == []
    made.clean()
    assert os.listdir(tmp_path) == ["it"]
    made.clean()


def test_directory_and_variables_are_the_recorded_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs where it was recorded, with its own variables over those of who cleans."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    monkeypatch.setenv("LASTOUT_SCOPE", "the one that is being cleaned")
    code = "import json, os, sys; json.dump([dict(os.environ), sys.argv], open('out', 'w'))"
    made = python(code, "an argument", env={"A": "ä"})
    monkeypatch.chdir("/")
    monkeypatch.setenv("B", "of who cleans")
    made.clean()
    environment, argv = json.loads((there / "out").read_text())
    assert (environment["A"], environment["B"], argv[1]) == ("ä", "of who cleans", "an argument")
    assert "LASTOUT_SCOPE" not in environment


def test_without_descriptors_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that cannot be waited for does not run on while others are cleaned."""
    made = python("import time; time.sleep(60)")
    started = []

    def start(*arguments: Any, **options: Any) -> Any:
        started.append(processes.start(*arguments, **options))
        return started[0]

    def hold(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(
        commands, "processes", SimpleNamespace(start=start, started_at=processes.started_at)
    )
    monkeypatch.setattr(pids, "open_pidfd", hold)
    with pytest.raises(OSError, match="Too many open files"):
        made.clean()
    assert started[0].returncode == -signal.SIGKILL


def test_its_program_is_found_when_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cleans may have another PATH; and what does not exist is refused at once."""
    made = make("command", ["true"])
    monkeypatch.setenv("PATH", "/nowhere")
    made.clean()
    with pytest.raises(errors.UsageError, match="no program 'true'"):
        make("command", ["true"])
    (tmp_path / "tool").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "tool").chmod(0o700)
    make("command", ["./tool"], cwd=tmp_path).clean()
    make("command", ["tool"], env={"PATH": str(tmp_path)}).clean()


def test_a_failure_tells_status_and_last_words() -> None:
    """Another status than 0 is an error with the end of what it printed."""
    code = "import sys; print('x' * 100_000); print('no such container', file=sys.stderr); exit(3)"
    with pytest.raises(
        errors.CleanupFailed, match=r"(?s)status 3; it said: .*no such container$"
    ) as caught:
        python(code).clean()
    assert len(str(caught.value)) < 4000


def test_a_killed_one_tells_its_signal() -> None:
    """One that is killed is an error too."""
    with pytest.raises(errors.CleanupFailed, match="killed by SIGKILL; it said nothing"):
        python("import os; os.kill(os.getpid(), 9)").clean()


def test_it_reads_nothing_and_may_leave_its_output_open(tmp_path: Path) -> None:
    """Nobody can answer it, and a child that keeps its output does not hold us up."""
    code = (
        "import subprocess, sys; assert sys.stdin.read() == '';"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "open('pid', 'w').write(str(child.pid))"
    )
    python(code, cwd=tmp_path).clean()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("by", ["its own limit", "the deadline"])
def test_one_that_hangs_is_killed_with_its_group(by: str, tmp_path: Path) -> None:
    """When its time is over the whole group goes, stubborn as it may be, and it is an error."""
    code = (
        "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork();"
        "open(f'pid{os.getpid()}', 'w').close(); print('hanging', flush=True); signal.pause()"
    )
    made = python(code, cwd=tmp_path, timeout=1.5 if by == "its own limit" else None)
    with pytest.raises(errors.CleanupTimeout, match="killed; it said: hanging"):
        made.clean(1.5 if by == "the deadline" else None)
    running = [int(name[3:]) for name in os.listdir(tmp_path)]
    assert len(running) == 2
    assert eventually(lambda: all(pids.process_facts(pid) is None for pid in running))


def test_an_interrupted_wait_kills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while it runs leaves no process behind."""
    made = python("open('pid', 'w').close(); import signal; signal.pause()", cwd=tmp_path)

    def interrupted(*_: object) -> bool:
        assert eventually((tmp_path / "pid").exists)
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "wait_for_child", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.clean()


def test_a_directory_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """It is not run somewhere else instead."""
    (tmp_path / "there").mkdir()
    made = make("command", ["true"], cwd=tmp_path / "there")
    (tmp_path / "there").rmdir()
    with pytest.raises(errors.CleanupFailed, match="is gone"):
        made.clean()


def test_a_program_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """It may have been removed, or replaced by what cannot be run, since it was recorded."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o700)
    made = make("command", [str(tool)])
    tool.unlink()
    with pytest.raises(errors.CleanupFailed, match=r"cannot be started: .*No such file"):
        made.clean()
    tool.write_text("not a program")
    with pytest.raises(errors.CleanupFailed, match=r"cannot be started: .*Permission"):
        made.clean()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: make("command", "docker rm -f x"), TypeError, r"\['docker', 'rm', '-f', 'x'\]"),
        (lambda: make("command", []), errors.UsageError, "no command"),
        (lambda: make("command", ["a\0"]), errors.UsageError, "no command"),
        (lambda: make("command", ["true"], env={"A": 1}), TypeError, "must be text"),
        (lambda: make("command", ["true"], cwd="/no/where"), errors.UsageError, "no directory"),
        (lambda: make("command", ["true"], timeout=-1), errors.UsageError, "timeout"),
    ],
)
def test_bad_commands_are_the_callers_act(
    call: Callable[[], object], error: type[Exception], match: str
) -> None:
    """What could never run is refused before anything is recorded."""
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (3, "it ended with status 3"),
        (-signal.SIGKILL, "it was killed by SIGKILL"),
        (-(signal.SIGRTMIN + 1), f"it was killed by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_how_one_ended(status: int, text: str) -> None:
    """A status is told in words, also of a signal that has no name."""
    assert commands._describe(status) == text


def test_somebody_else_has_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ended, and that its parent was told of before lastout looked, has ended."""

    def hold(_: int) -> int:
        raise ProcessLookupError

    with monkeypatch.context() as patch:
        patch.setattr(pids, "open_pidfd", hold)
        assert wait_for_child(1, 0)


@pytest.fixture
def relayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a thread beside gevent's loop, which may take the status of any child."""
    monkeypatch.setattr(genuine, "loses_statuses", lambda: True)


@pytest.mark.usefixtures("relayed")
def test_a_status_that_a_shell_writes_down(tmp_path: Path) -> None:
    """It is told as the program's own, and the program gets its arguments as they are."""
    python("import sys; open(sys.argv[1], 'w').close()", "a b", cwd=tmp_path).clean()
    assert (tmp_path / "a b").exists()
    with pytest.raises(errors.CleanupFailed, match="it ended with status 3"):
        make("command", ["sh", "-c", "exit 3"]).clean()


@pytest.mark.usefixtures("relayed")
def test_a_shell_that_is_killed(tmp_path: Path) -> None:
    """Of a program whose group was killed it is told so; after its time, with its group."""
    with pytest.raises(errors.CleanupFailed, match="killed by SIGKILL"):
        make("command", ["sh", "-c", "kill -KILL $PPID"]).clean()
    with pytest.raises(errors.CleanupTimeout):
        make("command", ["sleep", "60"], timeout=0.2).clean()
