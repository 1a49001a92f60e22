"""Processes that libraries fork: they keep no scope, or end with the process they work for."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

import lastout
from support import eventually, is_running
from support.scripts import each_package

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

BEGIN = """
    import concurrent.futures, importlib, os, signal, sys, time
    import lastout
    from say import say

    package, kind, *_ = sys.argv[1:] + ["multiprocessing", ""]
    context = importlib.import_module(package).get_context("fork")
    managers = importlib.import_module(package + ".managers")

    class Files(managers.BaseManager):
        pass

    class File:
        def make(self):
            return os.fspath(lastout.current_scope().directory())

    Files.register("File", File)

    def sleep():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(60)

    def start(kind):
        "What keeps the helper going, and its pid."
        if kind == "Manager":
            manager = context.Manager()
            return manager, manager._process.pid
        if kind == "SharedMemoryManager":
            manager = managers.SharedMemoryManager(ctx=context)
            manager.start()
            return manager, manager._process.pid
        if kind == "a manager of the program's":
            manager = Files(ctx=context)
            manager.start()
            return manager, manager._process.pid
        if kind == "ProcessPoolExecutor":
            pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)
            return pool, pool.submit(os.getpid).result()
        if kind == "Pool":
            pool = context.Pool(1)
            return pool, pool.apply(os.getpid)
        process = context.Process(target=sleep, daemon=kind == "a daemon")
        process.start()
        return process, process.pid
"""
MANAGERS = ["Manager", "SharedMemoryManager", "a manager of the program's"]
each_manager = pytest.mark.parametrize("kind", MANAGERS)
each_helper = pytest.mark.parametrize(
    "kind", [*MANAGERS, "ProcessPoolExecutor", "Pool", "a daemon"]
)


def start_and_kill(program: Start, kind: str, how: str) -> tuple[str, int]:
    """Kill a main that has a helper; what it had made in its scope, and the helper's pid."""
    child = program(
        BEGIN
        + f"""
    scope = lastout.Scope("s", {how})
    made = os.fspath(scope.directory())
    helper, pid = start(kind)
    say(made, pid)
    say("ready")
    signal.pause()
    """,
        args=["multiprocessing", kind],
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    made, pid = child.lines[0].split()
    return made, int(pid)


@each_manager
@each_package
def test_a_manager_keeps_no_scope(program: Start, package: str, kind: str) -> None:
    """A manager that was started in a scope is not waited for, and keeps nothing of it."""
    child = program(
        BEGIN
        + """
    with lastout.Scope("s", wait=30) as scope:
        made = scope.directory()
        helper, pid = start(kind)
        say([one.alive for one in scope.members()])
        began = time.monotonic()
    say(os.path.exists(made), time.monotonic() - began < 20)
    helper.shutdown()
    del helper  # while its module, of multiprocess, is whole
    """,
        args=[package, kind],
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["[True, True]", "False True"]


@each_helper
@pytest.mark.parametrize(
    "how", ["guardian=True", "end_workers=True", "guardian=True, end_workers=True"]
)
def test_the_main_is_killed(program: Start, kind: str, how: str) -> None:
    """A helper ends when its parent was killed, and the scope goes: by the guardian or a reap."""
    made, pid = start_and_kill(program, kind, how)
    if "guardian" not in how:
        # Again where it had only just been forked, and had not said yet who it is.
        assert eventually(lambda: lastout.reap(name="s").ok and not is_running(pid))
    assert eventually(lambda: not is_running(pid))
    assert eventually(lambda: not os.path.exists(made))


@each_manager
def test_nobody_is_to_end_it(program: Start, kind: str) -> None:
    """Where nobody ends workers a manager lives on, as without lastout, and keeps nothing."""
    made, pid = start_and_kill(program, kind, "end_workers=False")
    try:
        assert lastout.reap(name="s").ok
        assert not os.path.exists(made)
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_process_of_the_program_s_own(program: Start) -> None:
    """A child that is no daemon and runs a function of the program's lives on, a member."""
    made, pid = start_and_kill(program, "a process", "end_workers=True")
    try:
        assert lastout.reap(name="s").ok
        assert is_running(pid)
        assert os.path.isdir(made)
    finally:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not is_running(pid))
    assert lastout.reap(name="s").ok
    assert not os.path.exists(made)


def test_what_a_manager_makes(program: Start) -> None:
    """A manager may use the scope: what it makes goes when the last other member leaves."""
    child = program(
        BEGIN
        + """
    with lastout.Scope("s") as scope:
        manager, _ = start("a manager of the program's")
        made = manager.File().make()
        say(os.path.isdir(made))
    say(os.path.exists(made))
    manager.shutdown()
    """
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["True", "False"]


@pytest.mark.parametrize("how", ["os.fork", "fork", "forkserver", "spawn", "subprocess"])
def test_what_is_started_without_a_scope_is_no_member(program: Start, how: str) -> None:
    """What is started in `with scope.without()` is no member; what comes after it is again."""
    jobs = """
        import sys
        import lastout

        def is_outside():
            try:
                lastout.current_scope()
            except lastout.errors.UsageError:
                sys.exit(7)
    """
    child = program(
        """
        import multiprocessing, os, subprocess, sys
        import lastout
        import jobs
        from say import say

        def status(how):
            if how == "subprocess":
                code = "import jobs; jobs.is_outside()"
                return subprocess.run([sys.executable, "-c", code]).returncode
            if how == "os.fork":
                pid = os.fork()
                if not pid:
                    try:
                        jobs.is_outside()
                    except SystemExit as end:
                        os._exit(end.code)
                    os._exit(0)
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            child = multiprocessing.get_context(how).Process(target=jobs.is_outside)
            child.start()
            child.join()
            return child.exitcode

        if __name__ == "__main__":
            how = sys.argv[1]
            with lastout.Scope("s") as scope:
                os.environ["LASTOUT_SCOPE"] = scope.path
                with scope.without():
                    say(status(how), os.environ.get("LASTOUT_SCOPE"))
                say(os.environ["LASTOUT_SCOPE"] == scope.path)
                if how != "forkserver":  # which has the environment that it was started with
                    say(status(how))
        """,
        args=[how],
        modules={"jobs": jobs},
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["7 None", "True", *(["0"] if how != "forkserver" else [])]
