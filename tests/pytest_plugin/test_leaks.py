"""--lastout-leaks: what tests leave, without false alarms."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout.pytest_plugin.leaks.background_processes import is_background_process, runs_fork_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.suites import Suite

# A test for each kind; each says how what it leaves is to be removed.
LEAVING = """
    import multiprocessing, os, shutil, subprocess, sys, tempfile, time
    from multiprocessing import resource_tracker, shared_memory
    import lastout, pytest
    from say import say

    def test_process():
        process = subprocess.Popen(["sleep", "600"])
        say("kill", process.pid)
        process.returncode = 0  # nobody warns that it still runs

    def test_orphan():
        text = "import subprocess; print(subprocess.Popen(['sleep', '600'],"
        text += " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
        out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True).stdout
        say("kill", out.strip())

    def test_forked():
        child = os.fork()
        if not child:
            time.sleep(600)
            os._exit(0)
        say("kill", child)

    def test_directory():
        say("rmtree", tempfile.mkdtemp())

    def forked():
        say("rmtree", tempfile.mkdtemp())
        os._exit(0)

    def test_directory_of_a_child():
        child = multiprocessing.get_context("fork").Process(target=forked)
        child.start()
        child.join()

    def test_shared_memory():
        made = shared_memory.SharedMemory(create=True, size=16)
        resource_tracker.unregister(made._name, "shared_memory")
        made.close()
        say("rmtree", "/dev/shm/" + made.name)

    def test_scope():
        scope = lastout.Scope()
        say("scope", scope.name)
        scope._since = ""  # nobody warns that it was never left
"""


@pytest.fixture
def cleanup() -> Iterator[Callable[[list[str]], None]]:
    """Remove what the tests of a suite said that they leave."""
    told: list[str] = []
    yield told.extend
    for line in told:
        what, name = line.split()
        if what == "kill":
            os.kill(int(name), signal.SIGKILL)
        elif what == "scope":
            lastout.reap(name=name)
        elif os.path.isdir(name):
            shutil.rmtree(name)
        else:
            os.unlink(name)


WORDS = {
    "test_process": "process: ",
    "test_orphan": "process: ",
    "test_forked": "process: ",
    "test_directory": "temporary directory: ",
    "test_directory_of_a_child": "temporary directory: ",
    "test_shared_memory": "shared memory: ",
    "test_scope": "scope: ",
}


def test_each_kind_is_an_error_of_its_test(
    suite: Callable[..., Suite], cleanup: Callable[[list[str]], None]
) -> None:
    """With `error` each kind of thing that a test leaves is an error of that very test."""
    ran = suite(test_it=LEAVING).run("--lastout-leaks=error")
    cleanup(ran.lines)
    assert ran.counts == {"passed": 7, "errors": 7}, ran.out
    assert ran.status == 1
    for name, word in WORDS.items():
        assert f"test_it.py::{name} left behind:\n  {word}" in ran.out
    kinds = "process|temporary directory|shared memory|scope"
    assert len(re.findall(rf"^  ({kinds}): ", ran.out, re.MULTILINE)) == 7


def test_with_warn_it_is_a_warning(
    suite: Callable[..., Suite], cleanup: Callable[[list[str]], None]
) -> None:
    """With `warn`, here from the configuration file, it is a warning; by default nothing."""
    modules = {"test_it": LEAVING}
    ran = suite(**modules).run("-o", "lastout_leaks=warn", "-k", "directory")
    cleanup(ran.lines)
    assert ran.status == 0
    assert ran.counts["warnings"] == 2, ran.out
    assert "LeakWarning: test_it.py::test_directory left behind" in ran.out
    quiet = suite(**modules).run("-k", "directory")
    cleanup(quiet.lines)
    assert quiet.counts == {"passed": 2, "deselected": 5}, quiet.out


CLEAN = """
    import multiprocessing, os, subprocess, tempfile, time
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import shared_memory
    import lastout, pytest

    @pytest.fixture(scope="session")
    def server():
        process = subprocess.Popen(["sleep", "600"])
        with tempfile.TemporaryDirectory() as directory:
            memory = shared_memory.SharedMemory(create=True, size=16)
            with multiprocessing.get_context("fork").Pool(1) as pool:
                pool.apply(abs, [-1])
                yield directory
            memory.close()
            memory.unlink()
        process.kill()
        process.wait()

    @pytest.fixture(scope="module")
    def scope():
        with lastout.Scope() as scope:
            yield scope

    @pytest.mark.parametrize("number", range(10))
    def test_clean(server, scope, lastout_scope, lastout_run, number):
        subprocess.run(["true"])
        with tempfile.TemporaryDirectory():
            pass
        lastout_scope.shared_memory(16).close()
        lastout_scope.popen(["sleep", "600"])
        lastout_run.shared_memory(16).close()
        scope.directory()
        memory = shared_memory.SharedMemory(create=True, size=16)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(abs, -1).result()
        memory.close()
        memory.unlink()

    def test_temporary_path(tmp_path):
        tempfile.mkdtemp(dir=tmp_path)

    @pytest.mark.lastout_may_leave("temporary directory")
    def test_may():
        with open(os.environ["SAY_TO"], "a") as file:
            print("rmtree", tempfile.mkdtemp(), file=file)
"""


@pytest.mark.parametrize("options", [[], ["-n3", "--lastout-guardian"]])
def test_no_false_alarms(
    suite: Callable[..., Suite], cleanup: Callable[[list[str]], None], options: list[str]
) -> None:
    """Fixtures of wider scopes, scopes, other workers and helper processes are no leaks."""
    quiet = ("-W", "ignore::DeprecationWarning")  # of forks in a process with threads
    ran = suite(test_it=CLEAN).run("--lastout-leaks=error", *quiet, *options)
    cleanup(ran.lines)
    assert ran.counts == {"passed": 12}, ran.out
    assert "left behind" not in ran.out


@pytest.mark.parametrize("options", [[], ["-n1"]])
def test_what_a_session_leaves(
    suite: Callable[..., Suite], cleanup: Callable[[list[str]], None], options: list[str]
) -> None:
    """What a fixture of a wider scope leaves is told at the end, and the run fails."""
    ran = suite(
        test_it="""
            import subprocess, tempfile
            import pytest
            from say import say

            @pytest.fixture(scope="session")
            def sloppy():
                say("rmtree", tempfile.mkdtemp())
                process = subprocess.Popen(["sleep", "600"])
                process.returncode = 0
                say("kill", process.pid)

            def test_a(sloppy): pass
            def test_b(sloppy): pass
        """
    ).run("--lastout-leaks=error", *options)
    cleanup(ran.lines)
    assert ran.counts == {"passed": 2}, ran.out
    assert ran.status == 1
    section = ran.out.partition("left behind by fixtures of wider scopes")[2]
    assert "process: " in section
    assert "temporary directory: " in section


FORK_SERVER = """
    import os, signal, subprocess, sys, time
    import PACKAGE as multiprocessing
    from conftest import left
    from say import say

    context = multiprocessing.get_context("forkserver")

    def test_first():
        with context.Pool(1) as pool:
            assert pool.apply(abs, [-1]) == 1
        listener = multiprocessing.connection.Listener(family="AF_UNIX")
        listener.close()

    def leave():
        child = context.Process(target=time.sleep, args=[600], daemon=True)
        child.start()
        left.append(child.pid)
        return child.pid

    def test_child():
        leave()

    def test_orphan():
        with open(f"/proc/{leave()}/stat") as stat:
            server = int(stat.read().rpartition(")")[2].split()[1])
        os.kill(server, signal.SIGKILL)

    def test_file_of_that_name():
        with open("forkserver.py", "w") as program:
            program.write("import time; time.sleep(600)")
        process = subprocess.Popen([sys.executable, "forkserver.py", "resource_tracker"])
        say("kill", process.pid)
        process.returncode = 0  # nobody warns that it still runs

    def test_last():
        test_first()
"""


@pytest.mark.parametrize(
    ("package", "options"), [("multiprocessing", ["-n1"]), ("multiprocess", [])]
)
def test_a_fork_server(
    suite: Callable[..., Suite],
    cleanup: Callable[[list[str]], None],
    package: str,
    options: list[str],
) -> None:
    """A fork server and its directory are no leak; a child of it is, and what is only called so."""
    ran = suite(
        conftest="""
            import os, signal

            left = []

            def pytest_unconfigure():
                # Without its server a child cannot be ended in any other way.
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
        """,
        test_it=FORK_SERVER.replace("PACKAGE", package),
    ).run("--lastout-leaks=error", *options)
    cleanup(ran.lines)
    assert ran.counts == {"passed": 5, "errors": 3}, ran.out
    found = re.findall(r"::(test_\w+) left behind:\n  process: \d+ (.*)", ran.out)
    assert [name for name, _ in found] == ["test_child", "test_orphan", "test_file_of_that_name"]
    assert [f"{package}.forkserver" in command for _, command in found] == [True, True, False]
    assert "pymp-" not in ran.out


@pytest.mark.parametrize("first", ["", "import sys; "])
def test_how_a_fork_server_is_started(first: str) -> None:
    """It is known by its text, with the import that Python 3.14 and 3.15 put before it."""
    text = f"{first}from multiprocessing.forkserver import main; print('ready'); input()"
    command = [sys.executable, "-u", "-c", text]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout
        server.stdout.readline()  # before that, its command line may not be there yet
        assert runs_fork_server(server.pid)
        assert is_background_process(server.pid)


@pytest.mark.parametrize("mode", ["warn", "error"])
def test_a_scope_that_a_test_has_removed(suite: Callable[..., Suite], mode: str) -> None:
    """A joined scope whose directory is gone keeps no test from being torn down."""
    ran = suite(
        test_it="""
            import shutil
            import lastout, pytest
            from say import say

            @pytest.fixture(scope="module")
            def living():
                with lastout.Scope() as scope:
                    yield scope

            @pytest.fixture
            def torn_down():
                yield
                say("torn down")

            def test_removes(tmp_path, torn_down):
                scope = lastout.Scope(root=tmp_path / "root")
                shutil.rmtree(scope.path)

            def test_next(living, torn_down):
                living.directory()

            def test_last(torn_down): pass
        """
    ).run(f"--lastout-leaks={mode}")
    assert ran.counts == {"passed": 3}, ran.out
    assert ran.lines == ["torn down"] * 3


def test_a_wrong_mark_or_mode(suite: Callable[..., Suite]) -> None:
    """A kind that there is not, or a mode, is an error that names those that there are."""
    modules = {
        "test_it": """
            import pytest

            @pytest.mark.lastout_may_leave("files")
            def test_it(): pass
        """
    }
    ran = suite(**modules).run("--lastout-leaks=warn")
    assert ran.counts == {"passed": 1, "error": 1}, ran.out
    assert "'temporary directory', 'shared memory', 'scope'), not ('files',)" in ran.out
    ran = suite(**modules).run("-o", "lastout_leaks=yes")
    assert ran.status == 4
    assert "lastout_leaks must be off, warn or error, not 'yes'" in ran.out
