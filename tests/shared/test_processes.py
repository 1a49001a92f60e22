"""Processes as artifacts: the whole group ends, nobody else does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import errors
from lastout._platform import pids
from lastout._platform.process_ends import wait_for_ends
from lastout._scopes.kinds import popen as processes
from support import eventually
from support.artifacts import Made, make
from support.scripts import UNWINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Program

READY = 'import sys; print("ready", flush=True); '
WAIT = READY + "sys.stdin.read()"
PAUSE = READY + "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAIT
PARENT_OF = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {code!r}]);"
    "print(child.pid, flush=True); "
)
# Of its group, but without the environment that would tell so.
BARE = PARENT_OF.format(code=PAUSE).replace("])", "], env={})")


class Started(Made):
    """A process artifact that said it is ready."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """What the user got."""
        assert isinstance(self.given, subprocess.Popen)
        return self.given

    def line(self) -> str:
        """The next line that it printed."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def children(self, count: int) -> list[int]:
        """Its children, when they are ready; they and it may speak at once, amid a line."""
        said = "\n".join(self.line() for _ in range(2 * count))
        assert said.count("ready") == count
        return [int(pid) for pid in said.replace("ready", " ").split()]

    def from_elsewhere(self) -> None:
        """Clean it as another process would, which is not its parent."""
        processes._ours.clear()
        self.clean()


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    """Start Python code as an artifact; its pipes are closed at the end."""
    started: list[Started] = []

    def call(code: str, grace: float = 5.0, tree: bool = False, **options: Any) -> Started:
        argv = [sys.executable, "-c", code]
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **options}
        made = Started(*make("popen", argv, options, grace=grace, tree=tree))
        started.append(made)
        assert made.line() == "ready"
        return made

    yield call
    for made in started:
        for pipe in (made.process.stdin, made.process.stdout):
            if pipe:
                pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait(10)
    processes._ours.clear()


def lives(pid: int) -> bool:
    """Whether that process is running."""
    facts = pids.process_facts(pid)
    return facts is not None and not facts.ending


def test_it_ends_by_sigterm_and_its_popen_knows(start: Callable[..., Started]) -> None:
    """Cleaned by its parent it is gone when that returns, and the status is there."""
    made = start(WAIT)
    began = monotonic()
    made.clean()
    assert made.process.returncode == -signal.SIGTERM
    assert monotonic() - began < 4, "not after its grace, but as soon as it ended"
    made.clean()


def test_another_process_can_clean_it(start: Callable[..., Started]) -> None:
    """Who is not the parent ends it all the same; the parent reads the status later."""
    made = start(WAIT)
    made.from_elsewhere()
    assert made.process.wait(10) == -signal.SIGTERM
    made.from_elsewhere()


def test_one_that_ended_by_itself_is_clean(start: Callable[..., Started]) -> None:
    """The user may wait for it as always; cleaning finds nothing to do."""
    made = start(WAIT)
    made.process.communicate(timeout=10)
    made.clean()
    assert made.process.returncode == 0


def test_one_that_was_not_waited_for_is_clean(start: Callable[..., Started]) -> None:
    """A zombie of our own is waited for."""
    made = start(READY)
    held = os.pidfd_open(made.process.pid)
    assert wait_for_ends([held], 10)
    os.close(held)
    made.clean()
    assert made.process.returncode == 0


def test_one_that_unwinds_already_is_not_asked_again(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    """A program that a signal ends already finishes its exit handlers within the grace."""
    made = start(UNWINDS, grace=30, cwd=tmp_path)
    assert made.line() == "unwinds"
    made.clean()
    assert (tmp_path / "done").read_text() == "True"
    assert made.process.returncode == -signal.SIGTERM


def test_one_that_ignores_sigterm_is_killed_after_its_grace(start: Callable[..., Started]) -> None:
    """SIGTERM first, SIGKILL when the grace is over."""
    made = start(STUBBORN, grace=0.2)
    began = monotonic()
    made.clean()
    assert made.process.returncode == -signal.SIGKILL
    assert monotonic() - began >= 0.2


def test_without_grace_it_is_killed_at_once(start: Callable[..., Started]) -> None:
    """A grace of zero is SIGKILL alone."""
    made = start(WAIT, grace=0)
    made.clean()
    assert made.process.returncode == -signal.SIGKILL


def test_a_short_deadline_goes_before_the_grace(start: Callable[..., Started]) -> None:
    """Where there is less time than its grace, half of that is kept for the killing."""
    made = start(STUBBORN, grace=60)
    began = monotonic()
    made.clean(2.0)
    assert made.process.returncode == -signal.SIGKILL
    assert monotonic() - began < 5


def test_a_stopped_one_hears_sigterm(start: Callable[..., Started]) -> None:
    """A process that was stopped is continued, so that it can end by itself."""
    made = start(WAIT)
    made.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, made.process.pid, os.WSTOPPED | os.WNOWAIT)
    made.clean()
    assert made.process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("how", ["by its parent", "from elsewhere"])
def test_the_whole_group_ends(how: str, start: Callable[..., Started]) -> None:
    """Children of the process end too, stubborn ones included."""
    made = start(READY + PARENT_OF.format(code=STUBBORN) + "sys.stdin.read()", grace=0.2)
    (child,) = made.children(1)
    made.clean() if how == "by its parent" else made.from_elsewhere()
    assert not lives(child)


def test_members_that_outlive_their_leader_end(start: Callable[..., Started]) -> None:
    """Where the leader is long gone its children are known by group and token."""
    made = start(READY + PARENT_OF.format(code=WAIT))
    (child,) = made.children(1)
    made.process.wait(10)
    assert lives(child)
    made.from_elsewhere()
    assert not lives(child)


@pytest.mark.parametrize("end", ["by itself", "by SIGKILL"])
@pytest.mark.parametrize("how", ["by its parent", "from elsewhere"])
def test_members_without_its_environment_end(
    how: str, end: str, start: Callable[..., Started]
) -> None:
    """While nobody has waited for the leader that ended, its number proves who is of its group."""
    made = start(READY + BARE + ("sys.stdin.read()" if end == "by SIGKILL" else ""))
    (child,) = made.children(1)
    if end == "by SIGKILL":
        os.kill(made.process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, made.process.pid, os.WEXITED | os.WNOWAIT)
    made.clean() if how == "by its parent" else made.from_elsewhere()
    assert not lives(child)
    assert made.process.wait(10) == (0 if end == "by itself" else -signal.SIGKILL)


def test_members_that_cannot_be_proved_are_reported(start: Callable[..., Started]) -> None:
    """Neither signalled nor called done: those whose leader is gone and who have no token."""
    made = start(READY + BARE)
    (child,) = made.children(1)
    made.process.wait(10)
    with pytest.raises(errors.CleanupFailed, match=rf"pids {child}; end them"):
        made.clean()
    assert lives(child)
    os.kill(child, signal.SIGKILL)
    assert eventually(lambda: not lives(child))
    made.clean()


@pytest.mark.parametrize("first", ["with", "without"])
def test_one_with_the_token_speaks_for_the_others(
    first: str, start: Callable[..., Started]
) -> None:
    """Where the leader is gone, one that is known proves its group, first or last."""
    two = [PARENT_OF.format(code=PAUSE), BARE]
    made = start(READY + "".join(two if first == "with" else two[::-1]))
    children = made.children(2)
    made.process.wait(10)
    made.clean()
    assert [pid for pid in children if lives(pid)] == []


def test_the_group_of_another_session_is_another(start: Callable[..., Started]) -> None:
    """A group never changes its session: one of that number elsewhere is neither ended nor told."""
    made, other = start(WAIT), start(READY + BARE, start_new_session=True)
    (child,) = other.children(1)
    other.process.wait(10)
    made.clean()
    made._replace(data={**made.data, "pid": other.process.pid}).clean()
    assert lives(child)
    os.kill(child, signal.SIGKILL)


def test_a_scope_keeps_and_tells_what_it_cannot_prove() -> None:
    """Never `done` while they run: it is reported, and stays for the next one to reap."""
    scope = lastout.Scope("s")
    process = scope.popen(["sh", "-c", "env -i sleep 600 >&- & echo $!"], stdout=subprocess.PIPE)
    child = int(process.communicate()[0])
    assert eventually(lambda: b"sleep" in pids.command_line(child)[:1])  # not `env` any more
    (outcome,) = scope.leave()
    assert isinstance(outcome.failure and outcome.failure.exception, errors.CleanupFailed)
    assert lives(child)
    os.kill(child, signal.SIGKILL)
    assert eventually(lambda: not lives(child))
    (outcome,) = lastout.reap(name="s")
    assert outcome.failure is None
    assert not os.path.exists(scope.path)


def test_a_scope_ends_what_its_programs_left_behind() -> None:
    """A program that has ended by itself, and was not waited for, takes its group with it."""
    with lastout.Scope("s") as scope:
        process = scope.popen(
            ["sh", "-c", "env -i sleep 600 >&- & echo $!"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout:
            child = int(process.stdout.read())
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not lives(child)
    assert process.returncode == 0


def test_others_of_this_process_live_on(start: Callable[..., Started]) -> None:
    """Another artifact, and a child that left the group, are not touched."""
    other = start(WAIT)
    code = PARENT_OF.format(code=WAIT).replace("])", "], start_new_session=True)")
    made = start(READY + code + "sys.stdin.read()")
    # In another group: it may speak before or after the one that started it.
    [child] = made.children(1)
    made.clean()
    assert lives(child)
    assert other.process.poll() is None
    os.kill(child, signal.SIGKILL)
    other.clean()
    assert eventually(lambda: not lives(child))


def test_a_tree_ends_wherever_it_went(start: Callable[..., Started]) -> None:
    """With `tree` a child that began a session of its own ends too, its starter dead or not."""
    code = PARENT_OF.format(code=WAIT).replace("])", "], start_new_session=True)")
    made = start(READY + code, tree=True)
    [child] = made.children(1)
    made.process.wait(10)
    other = start(WAIT)
    assert lives(child)
    made.from_elsewhere()
    assert not lives(child)
    assert other.process.poll() is None
    other.clean()


def test_a_reused_pid_is_never_signalled(start: Callable[..., Started]) -> None:
    """A process that has the recorded pid, but not its start time and token, is another one."""
    made, other = start(WAIT), start(WAIT)
    made.clean()
    for started in (other.data["started"] - 1, None):
        stale = made._replace(data={**made.data, "pid": other.process.pid, "started": started})
        Started(*stale).from_elsewhere()
    assert other.process.poll() is None


def test_after_a_reboot_there_is_nothing_to_end(start: Callable[..., Started]) -> None:
    """No process outlives its boot, so whoever has that pid now is another one."""
    made = start(WAIT)
    made._replace(data={**made.data, "boot": "another"}).clean()
    assert made.process.poll() is None


def test_a_starter_that_was_cut_off_leaves_its_token(start: Callable[..., Started]) -> None:
    """Without a recorded pid it is found by the token in its environment."""
    made = start(WAIT)
    Started(*made.as_if_cut_off()).from_elsewhere()
    assert made.process.wait(10) == -signal.SIGTERM
    Started(*made.as_if_cut_off()).from_elsewhere()


def test_a_starter_killed_in_the_middle(program: Callable[..., Program]) -> None:
    """SIGKILL right after the start: what it started ends by its record from before it."""
    child = program(
        """
        import json, os, signal, sys
        from lastout._scopes.kinds import popen
        from say import say

        argv = [sys.executable, "-c", "from say import say; say('started'); input()"]
        options = {"stdin": os.dup(0)}
        recipe = popen.recipe(argv, options)
        location, data, create = recipe.location, recipe.data, recipe.create
        say(json.dumps([location, data]))
        process, more = create()
        say(process.pid)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    child.end()
    assert eventually(lambda: "started" in child.lines)
    pid = next(int(line) for line in child.lines if line.isdigit())
    assert lives(pid)
    Made("popen", *json.loads(child.lines[0])).clean()
    assert not lives(pid)


def test_another_container_is_asked_for_by_token(start: Callable[..., Started]) -> None:
    """A pid from another pid namespace means nothing here; the token does."""
    made = start(WAIT)
    other = start(WAIT)
    foreign = {**made.data, "namespace": 1, "pid": other.process.pid}
    Started(*made._replace(data=foreign)).from_elsewhere()
    assert made.process.wait(10) == -signal.SIGTERM
    assert other.process.poll() is None
    other.clean()


def test_what_cannot_be_seen_is_reported(
    start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From inside a container another one's process may live on unseen: its record stays."""
    made = start(WAIT)
    made.clean()
    monkeypatch.setattr(pids, "sees_all_processes", lambda: False)
    with pytest.raises(errors.CleanupFailed, match="another container"):
        made._replace(data={**made.data, "namespace": 1}).clean()


def test_one_that_cannot_be_ended_is_reported(
    start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who remains after SIGKILL is named, and it can be tried again."""
    made = start(WAIT)
    monkeypatch.setattr(pids, "signal_held", lambda held, signum: None)
    with pytest.raises(errors.CleanupTimeout, match=str(made.process.pid)):
        made.clean(0.1)
    monkeypatch.undo()
    made.clean()
    assert made.process.returncode == -signal.SIGTERM


def test_a_member_may_clean_its_own_group(start: Callable[..., Started]) -> None:
    """The last one out may live in a group that it has to end: it ends the others only."""
    cleaner = (
        "import json, os; from lastout.deadline import Deadline;"
        "from lastout._scopes.kinds import table as cleaners;"
        "cleaners.clean('popen', *json.loads(sys.stdin.readline()), Deadline(20));"
        "print('cleaned', flush=True)"
    )
    made = start(READY + PARENT_OF.format(code=PAUSE) + cleaner)
    (child,) = made.children(1)
    assert made.process.stdin is not None
    made.process.stdin.write(json.dumps([made.location, made.data]).encode() + b"\n")
    made.process.stdin.flush()
    assert made.line() == "cleaned"
    assert made.process.wait(10) == 0
    assert not lives(child)


def test_a_member_knows_its_own_group(start: Callable[..., Started]) -> None:
    """Where the leader is gone, one that cleans and is of the group proves it by itself."""
    cleaner = (
        "import atexit, json; from lastout.deadline import Deadline;"
        "from lastout._scopes.kinds import table as cleaners; print('ready', flush=True);"
        "atexit.register(print, 'over', flush=True);"
        "cleaners.clean('popen', *json.loads(sys.stdin.readline()), Deadline(20))"
    )
    made = start(READY + BARE + PARENT_OF.format(code="import sys;" + cleaner))
    children = made.children(2)
    assert made.process.stdin is not None
    made.process.wait(10)
    made.process.stdin.write(json.dumps([made.location, made.data]).encode() + b"\n")
    made.process.stdin.flush()
    assert made.line() == "over"
    assert eventually(lambda: not any(map(lives, children)))


def test_the_users_options_are_kept(start: Callable[..., Started], tmp_path: Path) -> None:
    """Environment, working directory, own session and the rest are Popen's own."""
    code = READY + "import os; print(os.getcwd(), os.environ['A'], os.getsid(0) == os.getpid())"
    made = start(code, cwd=tmp_path, env={"A": "b"}, start_new_session=True)
    assert made.line() == f"{tmp_path} b True"
    made.clean()


def test_what_cannot_be_started_is_the_callers_act() -> None:
    """Bad arguments are refused before anything is recorded."""
    for argv in ([], "", ["a\0b"], [""]):
        with pytest.raises(errors.UsageError, match="no command"):
            make("popen", argv)
    with pytest.raises(TypeError):
        make("popen", [1])
    with pytest.raises(errors.UsageError, match="process_group"):
        make("popen", ["true"], {"process_group": 5})
    with pytest.raises(errors.UsageError, match="grace"):
        make("popen", ["true"], grace=float("inf"))
    with pytest.raises(errors.UsageError, match="grace"):
        make("popen", ["true"], grace=-1)


def test_a_program_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    """The error is Popen's own, and nothing is kept."""
    argv = [str(tmp_path / "no such program")]
    with pytest.raises(FileNotFoundError):
        make("popen", argv)
    assert processes._ours == {}


def test_where_processes_cannot_be_held_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pidfds a wrong process might be signalled: refused from the start."""
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(errors.UsageError, match=r"Linux 5\.3"):
        make("popen", ["true"])


def test_one_that_popen_lost_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Popen fails when the program runs already: an error, and nothing runs."""
    real, begun = subprocess.Popen, []

    def popen(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        begun.append(real(*args, **options, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert begun[0].stdout.read(6) == b"ready\n"
        raise OSError("as if it could not be told how that went")

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(OSError, match="as if"):
        make("popen", [sys.executable, "-c", WAIT])
    with begun[0] as process:
        assert process.wait(10) == -signal.SIGKILL
