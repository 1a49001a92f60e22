"""The guardian: reaps as soon as members die, and depends on nothing that they do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope
from lastout._scopes.guardian import client as starting
from lastout.backends.guards import is_guardian
from lastout.errors import GuardianWarning, SystemRefused
from support import eventually
from support.guardians import guardian, guardians, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

    from support import Program

MOMENTS = 5.0  # seconds; the benchmark says how long it takes on a quiet machine


def scope_path(name: str = "s") -> str:
    return os.path.join(os.environ["LASTOUT_ROOT"], name)


def gone(*paths: str) -> bool:
    return eventually(lambda: not any(map(os.path.lexists, paths)), MOMENTS)


@pytest.fixture
def guarded() -> Iterator[Scope]:
    """A scope with a guardian, of this very process."""
    with Scope("s", guardian=True) as scope:
        yield scope
    assert eventually(lambda: not guardians(scope), MOMENTS)


HOLDER = """
    import sys
    import lastout
    from say import say

    scope = lastout.Scope("s", guardian=True)
    {make}
    say("ready")
    input()
"""


def test_all_are_killed(program: Callable[..., Program], tmp_path: Path) -> None:
    """All members are killed at once, forked and spawned ones: everything goes, with its guardian.

    Nobody else does anything meanwhile.
    """
    child = program(
        """
        import multiprocessing, os, signal, socket, sys
        import lastout
        from say import say

        def work(scope):
            scope.file(); scope.directory(lifetime="member")
            scope.popen(["sleep", "600"])
            say("ready")
            signal.pause()

        if __name__ == "__main__":
            scope = lastout.Scope("s", guardian=True)
            inside = scope.directory() / "inside"
            inside.mkdir()
            (inside / "file").touch()
            server = socket.socket(socket.AF_UNIX)
            server.bind(os.fspath(scope.socket(sys.argv[1])))
            memory = scope.shared_memory(4096)
            for method in ("fork", "spawn"):
                worker = multiprocessing.get_context(method).Process(target=work, args=(scope,))
                worker.start()
                say("pid", worker.pid)
            for artifact in scope.artifacts():
                if artifact.kind in ("file", "directory", "socket"):
                    say("path", artifact.location)
            say("memory", memory.name)
            say("made")
            signal.pause()
        """,
        args=[str(tmp_path / "socket")],
    )
    child.wait_for("made")
    child.wait_for("ready", 2)
    said = [line.split() for line in child.lines]
    paths = [words[1] for words in said if words[0] == "path"]
    assert str(tmp_path / "socket") in paths
    [memory] = [words[1] for words in said if words[0] == "memory"]
    for pid in [int(words[1]) for words in said if words[0] == "pid"]:
        os.kill(pid, signal.SIGKILL)
    child.kill()
    assert gone(*paths, scope_path())
    with pytest.raises(FileNotFoundError):
        SharedMemory(memory)
    assert eventually(lambda: not guardians(scope_path()), MOMENTS)


def test_one_of_several_is_killed(guarded: Scope) -> None:
    """What a killed member made for itself goes at once; what the scope shares stays."""
    shared = guarded.directory()
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        mine = lastout.current_scope().directory(lifetime="member")
        os.write(write, os.fsencode(mine))
        signal.pause()
    mine = os.fsdecode(os.read(read, 4096))
    os.close(read), os.close(write)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert gone(mine)
    assert os.path.isdir(shared)
    assert eventually(lambda: len(guarded.members()) == 1)


def test_one_for_each_scope(program: Callable[..., Program]) -> None:
    """Many that ask at once, in one process and in several, get one guardian together."""
    script = """
        import threading
        import lastout
        from say import say

        scope = lastout.Scope("s")
        say("joined")
        input()
        threads = [threading.Thread(target=lastout.Scope, args=("s",), kwargs={"guardian": True})
                   for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        say("ready")
        input()
    """
    children = [program(script) for _ in range(4)]
    for child in children:
        child.wait_for("joined")
    for child in children:
        child.tell()
    for child in children:
        child.wait_for("ready")
    one = guardian(scope_path())
    for child in children[1:]:
        child.kill()
        child.end()
    assert guardian(scope_path()) == one
    assert eventually(lambda: len(os.listdir(scope_path())) == 3)  # two locks and a journal
    children[0].tell()
    assert children[0].end().status == 0
    assert eventually(lambda: has_ended(one), MOMENTS)


def test_it_ends_with_its_scope(guarded: Scope) -> None:
    """The last one leaves and lives on: the guardian ends too, having done nothing."""
    one = guardian(guarded)
    directory = guarded.directory()
    report = guarded.leave()
    assert report.ok
    assert len(report) == 1
    assert not os.path.exists(directory)
    assert eventually(lambda: has_ended(one), MOMENTS)


def test_it_is_on_its_own(guarded: Scope) -> None:
    """It has a session of its own, nothing of the caller's open, and stands in no directory."""
    one = guardian(guarded)
    assert os.getsid(one.pid) == one.pid != os.getsid(0)
    assert one.ppid() != os.getpid()
    assert one.cwd() == "/"
    open_now = {
        int(name): os.readlink(f"/proc/{one.pid}/fd/{name}")
        for name in os.listdir(f"/proc/{one.pid}/fd")
    }
    assert [open_now[number] for number in range(3)] == ["/dev/null"] * 3
    its_own = ("pipe:", "anon_inode:[pidfd]", "pidfd", scope_path())
    others = [what for number, what in open_now.items() if number > 2]
    assert all(what.startswith(its_own) for what in others), others
    ours = {os.readlink(f"/proc/self/fd/{name}") for name in ("0", "1", "2")}
    assert not ours - {"/dev/null"} & set(others)


@pytest.mark.unmeasured(reason="it takes memory of the guardian")
def test_it_is_small(guarded: Scope) -> None:
    """It has at most 14 MB resident, also after it has seen members come, go and be killed."""
    for _ in range(20):
        pid = os.fork()
        if not pid:
            guarded.directory(lifetime="member")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    assert eventually(lambda: len(guarded.members()) == 1, MOMENTS)
    one = guardian(guarded)
    status = Path(f"/proc/{one.pid}/status").read_text()
    sizes = dict(line.split(":", 1) for line in status.splitlines())
    # Of its own are 6 MB; the rest are files of Python, in some builds 7 MB of them.
    own = 7_000 if "t" not in sys.abiflags else 9_000
    assert int(sizes["RssAnon"].split()[0]) <= own  # kB
    assert int(sizes["VmRSS"].split()[0]) <= 14_000
    assert one.exe() == os.path.realpath(sys.executable)
    words = one.cmdline()
    assert words[1:3] == ["-I", "-S"]


def test_it_sleeps(guarded: Scope) -> None:
    """While nothing happens it does nothing: no wakeup and no time on a processor.

    A member that was killed and that nobody has waited for is no reason to wake either.
    """
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGKILL)
    assert eventually(lambda: len(guarded.members()) == 1, MOMENTS)
    one = guardian(guarded)
    guarded.file()  # a record is no event for it

    def slept() -> bool:
        before = (one.cpu_times(), one.num_ctx_switches())
        time.sleep(1.2)  # longer than any look that it could take now and then
        return (one.cpu_times(), one.num_ctx_switches()) == before

    assert slept() or slept()  # the first time it may have had something to finish
    os.waitpid(pid, 0)


def test_signals_are_not_meant_for_it(guarded: Scope) -> None:
    """Ctrl-C, a hangup, SIGTERM and a stop from the terminal pass it by; it goes on to reap."""
    one = guardian(guarded)
    for name in ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGTSTP", "SIGTTIN", "SIGTTOU"):
        one.send_signal(getattr(signal, name))
    pid = os.fork()
    if not pid:
        guarded.directory(lifetime="member")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert eventually(lambda: len(guarded.members()) == 1, MOMENTS)
    assert guardian(guarded) == one


def test_ctrl_c_to_the_group(program: Callable[..., Program]) -> None:
    """It survives Ctrl-C, which ends all of the program's group, and cleans after that."""
    child = program(
        """
        import os, signal
        import lastout
        from say import say

        scope = lastout.Scope("s", guardian=True)
        say(scope.directory())
        pid = os.fork()  # does not die of it, and is killed later
        if not pid:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            say("pid", os.getpid())
            signal.pause()
        say("forked")  # CPython drops a Ctrl-C that comes before the fork's hooks are through
        signal.pause()
        """
    )
    assert eventually(lambda: len(child.lines) == 3)
    one = guardian(scope_path())
    child.interrupt()
    child.end()
    assert guardian(scope_path()) == one
    [pid] = [int(line.split()[1]) for line in child.lines if line.startswith("pid")]
    directory = next(line for line in child.lines if line.startswith("/"))
    assert os.path.isdir(directory)
    os.kill(pid, signal.SIGKILL)
    assert gone(directory, scope_path())


def test_it_is_nobodys_child(program: Callable[..., Program]) -> None:
    """The user's `os.wait()` and SIGCHLD handler never see it; no warning, under -W error."""
    child = program("""
        import os, signal, sys, warnings
        import lastout
        from say import say

        warnings.simplefilter("error")
        sys.unraisablehook = lambda args: say("unraisable", args.exc_value)
        seen = []

        def on_end_of_child(signum, frame):
            try:
                while pid := os.waitpid(-1, os.WNOHANG)[0]:
                    seen.append(pid)
            except ChildProcessError:
                seen.append("none")

        signal.signal(signal.SIGCHLD, on_end_of_child)
        with lastout.Scope("s", guardian=True) as scope:
            try:
                os.wait()
            except ChildProcessError:
                say("no children")
            say(set(seen) <= {"none"}, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        say("left")
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["no children", "True set()", "left"]


def test_it_is_led_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by a member that was itself started by a scope, it is no artifact of that one."""
    monkeypatch.setenv("LASTOUT_SCOPE", "another")
    monkeypatch.setenv("LASTOUT_ARTIFACT", "popen-1")
    with Scope("s", guardian=True) as scope:
        environment = guardian(scope).environ()
    assert "LASTOUT_ROOT" in environment
    assert not environment.keys() & {"LASTOUT_SCOPE", "LASTOUT_ARTIFACT"}


# Replaced when it was killed.


def kill(one: psutil.Process) -> None:
    one.kill()
    assert eventually(lambda: has_ended(one), MOMENTS)


def test_a_join_replaces_it(guarded: Scope) -> None:
    """Whoever joins a scope whose guardian was killed starts another, asked for or not."""
    one = guardian(guarded)
    kill(one)
    pid = os.fork()
    if not pid:
        guarded.leave()
        os._exit(0)
    os.waitpid(pid, 0)
    two = guardian(guarded)
    kill(two)
    with Scope("other"):
        assert not guardians(guarded)  # that is another scope
    Scope("s", guardian=True).leave()
    assert guardian(guarded) not in (one, two)


def test_a_stranger_replaces_it(guarded: Scope, program: Callable[..., Program]) -> None:
    """A process that joins by name alone, and knows of no guardian, replaces it as well."""
    kill(guardian(guarded))
    child = program('import lastout; lastout.Scope("s"); input()')
    guardian(guarded)
    child.tell()
    assert child.end().status == 0


def test_a_registration_replaces_it(guarded: Scope) -> None:
    """A member that goes on recording notices within about a second, and replaces it."""
    kill(guardian(guarded))

    def record() -> bool:
        guarded.file().release()
        return bool(guardians(guarded))

    assert eventually(record, MOMENTS, step=0.05)
    guardian(guarded)


def test_without_one_nothing_is_lost(program: Callable[..., Program]) -> None:
    """Killed before its members, it is missed by nobody: the next reap cleans."""
    child = program(HOLDER.format(make="say(scope.directory())"))
    child.wait_for("ready")
    kill(guardian(scope_path()))
    child.kill()
    child.end()
    assert os.path.isdir(child.lines[0])
    assert len(lastout.reap().done) == 1
    assert not os.path.exists(child.lines[0])
    assert not os.path.exists(scope_path())


def test_a_stopped_one_holds_nobody_up(guarded: Scope) -> None:
    """A guardian that is stopped holds no lock that members need."""
    one = guardian(guarded)
    one.suspend()
    try:
        directory = guarded.directory()
        with Scope("s") as again:
            again.file()
        assert len(guarded.leave()) == 2
        assert not os.path.exists(directory)
        assert not os.path.exists(guarded.path)
    finally:
        one.resume()


# Where there can be none.


INTERPRETERS = {"none": None, "one that is gone": "/nowhere/python", "no Python": "/bin/false"}


def refuse(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(starting, "interpreter", lambda: INTERPRETERS[how])


@pytest.mark.parametrize("how", ["frozen", *INTERPRETERS])
def test_it_cannot_be_started(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning says why there is no guardian; the scope works without, and warns once a minute."""
    refuse(monkeypatch, how)
    with pytest.warns(GuardianWarning, match="it works without one") as caught:
        scope = Scope("s", guardian=True)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    directory = scope.directory()
    assert not guardians(scope)
    assert scope.leave().ok
    assert not os.path.exists(directory)


def test_it_runs_into_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its process said before it failed stands in the warning."""
    from lastout._scopes.guardian import client as module

    monkeypatch.setattr(module, "_PROGRAM", "import sys; sys.exit('no memory left')")
    with pytest.warns(GuardianWarning, match="no memory left"):
        Scope("s", guardian=True).leave()


def test_no_processes_left(program: Callable[..., Program]) -> None:
    """Where no process can be started, for want of descriptors, the scope works without one."""
    child = program("""
        import os, resource, warnings
        import lastout
        from say import say

        scope = lastout.Scope("s")
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        for _ in range(4):
            os.close(taken.pop())  # enough to join, not to start a process
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            again = lastout.Scope("s", guardian=True)
        say([one.category.__name__ for one in caught])
        again.leave()
        while taken:
            os.close(taken.pop())
        made = scope.directory()
        say(scope.leave().ok, os.path.exists(made))
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["['GuardianWarning']", "True False"]


def test_a_warning_made_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `-W error` the warning is raised, and the scope is left again."""
    refuse(monkeypatch, "frozen")
    with warnings.catch_warnings():
        warnings.simplefilter("error", GuardianWarning)
        with pytest.raises(GuardianWarning):
            Scope("s", guardian=True)
    assert not os.path.exists(scope_path())


# What it cleans, and how.


def test_a_program_keeps_the_scope(program: Callable[..., Program], tmp_path: Path) -> None:
    """Members are killed, but a program that is a member lives on: the scope goes when it ends."""
    child = program(
        HOLDER.format(
            make="""
    scope.popen(["sh", "-c", "sleep 600 & echo $! > pid; wait"], member=True)
    say(scope.directory())
"""
        )
    )
    child.wait_for("ready")
    pid_file = child.directory / "pid"
    assert eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
    guardian(scope_path())
    child.kill()
    child.end()
    directory = child.lines[0]
    assert eventually(lambda: len(lastout.reap()) == 0)
    assert os.path.isdir(directory)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert gone(directory, scope_path())


def test_users_code_runs_elsewhere(program: Callable[..., Program], tmp_path: Path) -> None:
    """Callbacks and commands run in processes that end, with the caller's path and variables.

    Signals do in them what they usually do, though the guardian itself has its own ways.
    """
    told = tmp_path / "told"
    child = program(
        """
        import sys
        import cleaning, lastout
        from say import say

        scope = lastout.Scope("s", guardian=True)
        scope.callback(cleaning.tell, sys.argv[1])
        told = sys.argv[1]
        scope.callback(lambda: cleaning.tell(told))
        scope.command(["sh", "-c", 'echo $OURS >> "$0"; kill -TERM $$; echo alive >> "$0"',
                       sys.argv[1]])
        say("ready")
        input()
        """,
        args=[str(told)],
        env={"OURS": "of the user"},
        modules={
            "cleaning": """
                import os
                def tell(path):
                    with open(path, "a") as file:
                        print("called", file=file)
            """
        },
    )
    child.wait_for("ready")
    one = guardian(scope_path())
    child.kill()
    child.end()
    assert eventually(lambda: has_ended(one), MOMENTS * 2)
    assert told.read_text().splitlines() == ["of the user", "called", "called"]
    # The command failed, by its own signal: it stays recorded.
    assert [outcome.name.split()[0] for outcome in lastout.reap().failed] == ["command"]
    told.write_text("")
    for journal in Path(scope_path()).glob("*.journal"):
        journal.unlink()
    assert lastout.reap().ok


def test_what_cannot_be_cleaned(program: Callable[..., Program], tmp_path: Path) -> None:
    """It tries what fails no more than once for each death, and ends when nobody is left."""
    count = tmp_path / "count"
    child = program(
        """
        import sys
        import lastout
        from say import say

        scope = lastout.Scope("s", guardian=True)
        scope.command(["sh", "-c", 'echo tried >> "$0"; test -e "$0.may"', sys.argv[1]])
        say("ready")
        input()
        """,
        args=[str(count)],
    )
    child.wait_for("ready")
    one = guardian(scope_path())
    child.kill()
    child.end()
    assert eventually(lambda: has_ended(one), MOMENTS)
    assert count.read_text().splitlines() == ["tried"]
    Path(f"{count}.may").touch()
    assert lastout.reap().ok
    assert not os.path.exists(scope_path())


def test_a_job_that_fails_is_tried_again(program: Callable[..., Program], tmp_path: Path) -> None:
    """A job that could not do its work, here because the scope was unreadable, is done later."""
    child = program(HOLDER.format(make="say(scope.directory())"))
    child.wait_for("ready")
    one = guardian(scope_path())
    lock = Path(scope_path(), "scope.lock")
    lock.rename(tmp_path / "lock")
    lock.mkdir()  # not a file: nobody can hold the scope
    child.kill()
    child.end()
    # A job has ended.  Not by the time that it took: less than a tick of the clock is none.
    assert eventually(one.children)
    assert eventually(lambda: not one.children())
    assert os.path.isdir(child.lines[0])
    lock.rmdir()
    (tmp_path / "lock").rename(lock)
    assert gone(child.lines[0], scope_path())


def test_a_socket_of_a_killed_server(program: Callable[..., Program], tmp_path: Path) -> None:
    """The address of a killed server is free again without anybody's doing."""
    path = str(tmp_path / "server")
    child = program(
        """
        import socket, sys
        import lastout
        from say import say

        scope = lastout.Scope("s", guardian=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(scope.socket(sys.argv[1])))
        say("ready")
        input()
        """,
        args=[path],
    )
    child.wait_for("ready")
    child.kill()
    assert gone(path)
    with socket.socket(socket.AF_UNIX) as again:
        again.bind(path)
    os.unlink(path)
    child.end()
    assert gone(scope_path())


def test_by_what_it_is_known(guarded: Scope, tmp_path: Path) -> None:
    """By its name and its lock a guardian is known, and a job by its guardian; nobody else is."""
    line = "echo >>began; test -e done || exec sleep 300"
    pid = os.fork()
    if not pid:
        guarded.command(["sh", "-c", line], cwd=tmp_path, lifetime="member")
        os._exit(1)
    os.waitpid(pid, 0)
    assert eventually((tmp_path / "began").exists)
    one = guardian(guarded)
    [job] = one.children()
    [cleanup] = job.children()
    assert [is_guardian(who.pid) for who in (one, job, cleanup)] == [True, True, False]
    assert not is_guardian(os.getpid())
    (tmp_path / "done").touch()
    cleanup.kill()
    assert eventually(lambda: not one.children())
    [artifact] = guarded.artifacts()
    artifact.keep()


def test_it_is_known_when_its_scope_is_gone(tmp_path: Path) -> None:
    """A guardian whose scope was removed, with its lock, is known until it has ended."""
    lock = tmp_path / "guardian.lock"
    with lock.open("w") as file:
        code = "import os; os.write(1, b'.'); input()"
        command = [sys.executable, "-c", code, "lastout-guardian"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "pass_fds": [file.fileno()]}
        with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
            process.stdout.read(1)
            assert is_guardian(process.pid)
            lock.unlink()
            assert is_guardian(process.pid)
            process.communicate(b"\n")
    assert not is_guardian(process.pid)


def test_one_that_comes_when_all_is_over(tmp_path: Path) -> None:
    """A guardian whose starter was killed, and whose scope is cleaned already, ends in silence."""
    command = starting._command(str(tmp_path / "swept"), 0)
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("held", [True, False])
def test_one_that_hangs(held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not come to be on its own in its time is killed, and that is an error."""
    monkeypatch.setattr(starting, "_PATIENCE", 0.05)
    monkeypatch.setattr(starting.pids, "has_pidfds", lambda: held)
    with (tmp_path / "file").open("w") as file:
        number = file.fileno()
        with pytest.raises(SystemRefused, match=r"did not start in 0\.05 s"):
            starting._run(["sleep", "600"], number, number)
