"""Joining from other processes: by name, by pickle, by pool, by environment."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

import lastout
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

PAIR = """
    import os, sys
    import lastout
    from say import say

    with lastout.Scope("pair") as scope:
        directory = scope.directory()
        say("ready", directory)
        input()
    say("left", os.path.exists(directory))
"""


def test_unrelated_processes(program: Callable[..., Program]) -> None:
    """Two programs that give the same name are in one scope: the last one cleans for both."""
    first, second = program(PAIR), program(PAIR)
    directories = []
    for child in (first, second):
        assert eventually(lambda child=child: child.lines)
        directories.append(child.lines[0].split()[1])
    first.tell()
    assert first.end().status == 0
    assert first.lines[1] == "left True"
    assert all(map(os.path.exists, directories))
    second.tell()
    assert second.end().status == 0
    assert not any(map(os.path.exists, directories))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
def test_pickled_to_a_child(program: Callable[..., Program], package: str, method: str) -> None:
    """A scope given to a child joins there, until that child ends."""
    child = program(
        f"""
        import {package} as package
        import os
        import lastout
        from say import say

        def work(scope, shared):
            mine = scope.directory(lifetime="member")
            say(len(scope.members()), os.path.isdir(shared), os.path.isdir(mine))

        if __name__ == "__main__":
            with lastout.Scope("s") as scope:
                context = package.get_context("{method}")
                worker = context.Process(target=work, args=(scope, scope.directory()))
                worker.start()
                worker.join()
                say(worker.exitcode, len(scope.members()), len(scope.artifacts()))
            say(os.path.exists(scope.path))
        """
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["2 True True", "0 1 1", "False"]


POOLS = {
    "multiprocessing.Pool": """
        import multiprocessing
        def pool(worker):
            return multiprocessing.get_context(METHOD).Pool(2, initializer=worker)
    """,
    "multiprocess.Pool": """
        import multiprocess
        def pool(worker):
            return multiprocess.get_context(METHOD).Pool(2, initializer=worker)
    """,
    "ProcessPoolExecutor": """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        def pool(worker):
            context = multiprocessing.get_context(METHOD)
            return ProcessPoolExecutor(2, initializer=worker, mp_context=context)
    """,
    "loky": """
        from loky import ProcessPoolExecutor
        def pool(worker):
            return ProcessPoolExecutor(2, initializer=worker)
    """,
}


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("kind", list(POOLS))
def test_workers_of_any_pool_join_by_its_initializer(
    program: Callable[..., Program], kind: str, method: str
) -> None:
    """The workers of any pool join by `initializer=scope.worker`, and all is cleaned at the end."""
    if kind == "loky" and method == "fork":
        pytest.skip("loky starts its workers in its own way")
    child = program(
        """
        import os, sys
        import lastout
        from say import say
        from pools import pool
        from tasks import task

        if __name__ == "__main__":
            with lastout.Scope("s", wait=20) as scope:
                with pool(scope.worker) as workers:
                    paths = list(workers.map(task, range(4)))
                say(all(os.path.basename(path).startswith("directory") for path in paths))
            say(any(map(os.path.exists, paths)), os.path.exists(scope.path))
        """,
        modules={
            "pools": f"METHOD = {method!r}\n" + POOLS[kind].replace("\n        ", "\n"),
            "tasks": """
                import os
                import lastout
                def task(number):
                    return os.fspath(lastout.current_scope().directory(lifetime="member"))
            """,
        },
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["True", "False False"]


def test_a_subprocess_finds_its_scope(program: Callable[..., Program]) -> None:
    """A program started by `popen` finds the scope in its environment, root and all."""
    child = program(
        """
        import os, sys
        import lastout
        from say import say

        if len(sys.argv) > 1:
            scope = lastout.current_scope()
            say(scope.path, len(scope.members()))
            scope.directory()
        else:
            with lastout.Scope("s", root=os.path.abspath("elsewhere")) as scope:
                say(scope.path, len(scope.members()))
                process = scope.popen([sys.executable, __file__, "again"])
                assert process.wait(30) == 0
                say(len(scope.artifacts()), len(scope.members()))
            say(len(scope.report))
        """,
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    path = child.lines[0].split()[0]
    # The program left, but the directory that it made stays, and so it is listed.
    assert child.lines == [f"{path} 1", f"{path} 2", "2 2", "2"]


def test_64_join_at_once(program: Callable[..., Program]) -> None:
    """Many that join and leave at once are all in, one after another, and leave nothing."""
    child = program("""
        import os
        import lastout
        from say import say

        read, write = os.pipe()
        pids = []
        for number in range(64):
            pid = os.fork()
            if not pid:
                os.close(write)
                os.read(read, 1)
                with lastout.Scope("s") as scope:
                    directory = scope.directory()
                    file = scope.file(directory / "x")
                    good = os.path.exists(file)
                os._exit(not good)
            pids.append(pid)
        os.close(write)
        say(sum(os.waitpid(pid, 0)[1] for pid in pids), os.listdir(os.environ["LASTOUT_ROOT"]))
    """)
    ended = child.end(100)
    assert ended.status == 0, ended.err
    assert child.lines == ["0 []"]


def test_four_leave_at_once(program: Callable[..., Program]) -> None:
    """Of four that leave at once exactly one sweeps, and nothing is cleaned twice."""
    child = program("""
        import os, sys
        import lastout
        from say import say

        with lastout.Scope("load") as scope:
            scope.command(["/bin/true"])
        bad = 0
        for turn in range(25):
            log = os.path.abspath("log%d" % turn)
            ready, go = os.pipe(), os.pipe()
            pids = []
            for number in range(4):
                pid = os.fork()
                if not pid:
                    os.close(go[1])
                    scope = lastout.Scope("s")
                    scope.command(["/bin/sh", "-c", "echo %d >>%s" % (number, log)])
                    os.write(ready[1], b".")
                    os.read(go[0], 1)
                    scope.leave()
                    os._exit(0)
                pids.append(pid)
            for _ in range(4):
                os.read(ready[0], 1)
            for number in (*ready, *go):
                os.close(number)
            bad += sum(os.waitpid(pid, 0)[1] for pid in pids)
            bad += sorted(open(log).read().split()) != ["0", "1", "2", "3"]
            bad += os.listdir(os.environ["LASTOUT_ROOT"]) != []
        say("bad", bad)
    """)
    ended = child.end(100)
    assert ended.status == 0, ended.err
    assert child.lines == ["bad 0"]


def test_wait_for_the_others(program: Callable[..., Program]) -> None:
    """With `wait`, a process leaves last, or when its time is over."""
    child = program("""
        import os
        from time import monotonic
        import lastout
        from say import say

        scope = lastout.Scope("s", wait=20)
        log = os.path.abspath("log")
        pid = os.fork()
        if not pid:
            scope.callback(lambda: open(log, "a").write("cleaned by %d\\n" % os.getppid()))
            say("ready")
            input()
            scope.leave()
            os._exit(0)
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            say("too early")
        scope.leave()
        say(open(log).read() == "cleaned by %d\\n" % os.getpid())
        os.waitpid(pid, 0)

        scope = lastout.Scope("t", wait=0.2)
        pid = os.fork()
        if not pid:
            input()
            os._exit(0)
        began = monotonic()
        scope.leave()
        say(0.2 <= monotonic() - began < 5)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        lastout.reap()
    """)
    child.wait_for("ready")
    child.tell()
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["ready", "True", "True"]


def test_a_process_leaves_its_scope_when_it_ends(program: Callable[..., Program]) -> None:
    """A process that ends without leaving leaves, after the handlers registered since it joined."""
    child = program("""
        import os
        import lastout
        from say import say

        lastout.register(say, "before")
        scope = lastout.Scope("s")
        directory = scope.directory()
        scope.callback(say, "cleaned")
        lastout.register(lambda: say("still there", os.path.exists(directory)))
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert ended.err == ""
    assert child.lines == ["still there True", "cleaned", "before"]


def test_failures_at_exit_are_shown(program: Callable[..., Program]) -> None:
    """What cannot be cleaned at the end of a process is shown."""
    child = program("""
        import os
        import lastout

        scope = lastout.Scope("s")
        file = scope.file()
        os.rename(file, "away")
        open(file, "w").close()
    """)
    ended = child.end()
    assert "ArtifactReplaced" in ended.err
    (path,) = (one.name.split()[1] for one in lastout.reap())
    os.remove(path)
    lastout.reap()


def test_a_signal_leaves(program: Callable[..., Program]) -> None:
    """With signals handled, SIGTERM leaves the scope before the process dies of it."""
    child = program("""
        import signal
        import lastout
        from say import say

        lastout.handle_signals()
        scope = lastout.Scope("s")
        scope.callback(say, "cleaned")
        say("ready")
        input()
    """)
    child.wait_for("ready")
    child.signal(15)
    assert child.end().status == -15
    assert child.lines == ["ready", "cleaned"]


def test_exec_is_still_a_member(program: Callable[..., Program]) -> None:
    """A member that becomes another program by exec is alive until that ends."""
    child = program("""
        import os, sys
        import lastout
        from say import say

        if len(sys.argv) > 1:
            say("ready", os.path.isdir(sys.argv[1]))
            input()
        else:
            scope = lastout.Scope("s")
            os.execv(sys.executable, [sys.executable, __file__, os.fspath(scope.directory())])
    """)
    child.wait_for("ready True")
    assert len(lastout.reap()) == 0
    child.tell()
    child.end()
    assert len(lastout.reap().done) == 1


def test_exec_and_joining_anew(program: Callable[..., Program]) -> None:
    """The new program can join, and cleans after its former self."""
    child = program("""
        import os, sys
        import lastout
        from say import say

        scope = lastout.Scope("s")
        if len(sys.argv) == 1:
            os.execv(sys.executable, [sys.executable, __file__, os.fspath(scope.directory())])
        say(os.path.isdir(sys.argv[1]), len(scope.report.done), len(scope.members()))
        scope.leave()
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["False 1 1"]


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="a subinterpreter cannot import filelock well"
)
def test_a_subinterpreter_is_a_member(program: Callable[..., Program]) -> None:
    """A subinterpreter is a member of its own."""
    child = program("""
        import _interpreters
        import lastout
        from say import say

        with lastout.Scope("s") as scope:
            interpreter = _interpreters.create("legacy")
            error = _interpreters.exec(interpreter, '''if True:
                import lastout
                scope = lastout.Scope("s")
                here = sorted(one.interpreter for one in scope.members())
                assert here[0] == 0 and here[1] > 0, here
                scope.leave()
            ''')
            say(error)
            _interpreters.destroy(interpreter)
            say(len(scope.members()))
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["None", "1"]


def test_a_program_as_a_member(program: Callable[..., Program]) -> None:
    """Any program can be a member: the scope lives until it, and what it started, has ended."""
    child = program("""
        import os, signal, subprocess
        import lastout
        from say import say

        scope = lastout.Scope("s")
        directory = scope.directory()
        shell = scope.popen(["/bin/sh", "-c", "sleep 300 & echo $!; exit"], member=True,
                            stdout=subprocess.PIPE, lifetime="scope")
        sleeper = int(shell.stdout.readline())
        shell.wait()
        scope.leave()
        say(os.path.isdir(directory))
        os.kill(sleeper, signal.SIGKILL)
        done = 0
        while os.path.isdir(directory):  # the test's deadline is the end of it
            done += len(lastout.reap(name="s").done)
        shell.stdout.close()
        say(done, os.path.isdir(directory), os.path.exists(scope.path))
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["True", "2 False False"]


def test_joblib(program: Callable[..., Program]) -> None:
    """The workers of joblib join by `initializer=scope.worker` too."""
    child = program(
        """
        import os
        import lastout
        from joblib import Parallel, delayed
        from joblib.externals.loky import get_reusable_executor
        from say import say
        from jobs import work

        if __name__ == "__main__":
            with lastout.Scope("s", wait=20) as scope:
                made = Parallel(n_jobs=2, initializer=scope.worker)(
                    delayed(work)(number) for number in range(4)
                )
                say(all(map(os.path.isdir, made)))
                get_reusable_executor().shutdown()
            say(scope.report.ok, any(map(os.path.exists, made)), os.path.exists(scope.path))
        """,
        modules={
            "jobs": """
                import lastout

                def work(number):
                    return str(lastout.current_scope().directory())
            """
        },
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["True", "True False False"]
