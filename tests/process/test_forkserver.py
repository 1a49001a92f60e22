"""Fork server: it is nobody; what is registered in it is for its children, each once."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program

    Start = Callable[..., Program]

PACKAGES = ("multiprocessing", "multiprocess")

# A main program whose fork server preloads the module `early`, and that starts one child.
MAIN = """
    import importlib, os, signal, sys
    from say import say

    if __name__ == "__main__":
        import jobs

        context = importlib.import_module(sys.argv[1]).get_context("forkserver")
        context.set_forkserver_preload(["early"])
        child = context.Process(target=jobs.work)
        child.start()
        child.join(60)
        say("status", child.exitcode)
"""
# Says what process it is, whoever imports it.
ROLE = """
    import os, sys
    from say import say

    def said(word):
        say(word, "server" if os.getpid() == server else "child")

    server = os.getpid()
"""
WORK = "def work(): pass"


def run(
    program: Start, early: str, work: str = WORK, package: str = PACKAGES[0], **options: object
) -> list[str]:
    """Run it to its end, without a word on standard error; what was said."""
    modules = {"early": early, "jobs": work, "role": ROLE}
    child = program(MAIN, args=[package], modules=modules, **options)
    end = child.end()
    assert (end.status, end.err) == (0, "")
    return child.lines


@pytest.mark.parametrize("package", PACKAGES)
def test_it_stays_as_it_was(program: Start, package: str) -> None:
    """Whatever is set up in it, it gets no thread, signal handler, exit hook or import hook."""
    lines = run(
        program,
        """
        import atexit, os, signal, sys
        from say import say

        def state():
            kept = [*sys.meta_path], atexit._ncallbacks(), len(os.listdir("/proc/self/task"))
            return kept, [signal.getsignal(number) for number in signal.valid_signals()]

        import filelock, lastout
        # They load others that have exit hooks.
        lastout.Scope, lastout.handle_signals, filelock.lock_descriptor
        before = state()
        lastout.register(print)
        lastout.handler(inherit=True, timeout=5.0)(print)
        lastout.handle_signals()
        lastout.Scope("early", guardian=True)
        say("as it was" if state() == before else f"{before} and then {state()}")
        """,
        package=package,
    )
    assert lines == ["as it was", "status 0"]


@pytest.mark.parametrize("package", PACKAGES)
def test_its_children_run_what_was_registered_in_it(program: Start, package: str) -> None:
    """Each child runs it once, below its own handlers and in order; the server runs none."""
    lines = run(
        program,
        """
        import lastout
        from role import said

        lastout.register(said, "first")
        lastout.handler(inherit=True, args=("inheritable",))(said)
        lastout.handler(timeout=5.0, args=("within its time",))(said)
        lastout.register(len, ())
        lastout.unregister(len)
        """,
        "def work():\n    import lastout, role\n    lastout.register(role.said, 'own')",
        package,
    )
    ran = ["own child", "within its time child", "inheritable child", "first child"]
    assert lines == [*ran, "status 0"]


def test_a_handler_that_hangs_in_a_child(program: Start) -> None:
    """The time limit of a handler that was registered in the server holds in its children."""
    early = """
    import threading
    import lastout
    from role import said

    lastout.register(said, "below")
    lastout.handler(timeout=0.1)(threading.Event().wait)
    """
    modules = {"early": early, "jobs": WORK, "role": ROLE}
    child = program(MAIN, args=["multiprocessing"], modules=modules)
    end = child.end()
    assert end.status == 0
    assert "did not finish within 0.1 s" in end.err
    assert child.lines == ["below child", "status 0"]


def test_registered_by_sitecustomize(program: Start, tmp_path: Path) -> None:
    """What every Python of a program registers at its start runs once in each but the server."""
    sites = tmp_path / "sites"
    sites.mkdir()
    # Whichever Python it is: the resource tracker of multiprocessing is one too.
    (sites / "sitecustomize.py").write_text(
        "import lastout, os\nlastout.register(lambda: __import__('say').say('ran', os.getpid()))\n"
    )
    child = program(
        """
        import multiprocessing, os
        from say import say

        def work():
            say("child", os.getpid())
            say("server", os.getppid())

        if __name__ == "__main__":
            child = multiprocessing.get_context("forkserver").Process(target=work)
            child.start()
            child.join()
        """,
        # Found only if it is on the path before the interpreter starts.
        env={"PYTHONPATH": os.pathsep.join([str(sites), str(tmp_path / "program0"), *sys.path])},
    )
    assert child.end() == (0, "", "")
    pids = dict(map(str.split, child.lines))
    assert child.lines.count(f"ran {pids['child']}") == 1
    assert child.lines.count(f"ran {child.pid}") == 1
    assert f"ran {pids['server']}" not in child.lines


@pytest.mark.parametrize("package", PACKAGES)
def test_started_before_lastout_was_imported(program: Start, package: str) -> None:
    """A server that never heard of lastout has children that have, and handlers of their own."""
    child = program(
        """
        import importlib, os, sys

        if __name__ == "__main__":
            context = importlib.import_module(sys.argv[1]).get_context("forkserver")
            first = context.Process(target=os.getpid)
            first.start()
            first.join()

            import lastout, jobs
            lastout.handler(inherit=True, args=("inherited",))(jobs.said)
            second = context.Process(target=jobs.work)
            second.start()
            second.join()
            lastout._clear()
        """,
        args=[package],
        modules={
            "jobs": """
            from say import say

            def said(word):
                say(word)

            def work():
                import lastout
                lastout.register(said, "own")
            """
        },
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["own", "inherited"]


def test_signals_that_were_restored_in_it(program: Start) -> None:
    """What a module handles only for a while, at its import, no child handles."""
    lines = run(
        program,
        """
        import lastout

        with lastout.handle_signals() as handling:
            pass
        lastout.register(print, "never")
        """,
        """
        import os, signal

        def work():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            os.kill(os.getpid(), signal.SIGTERM)
        """,
    )
    assert lines == [f"status {-signal.SIGTERM}"]


def test_signals_that_a_child_restores(program: Start) -> None:
    """The object that `handle_signals` gave the server restores in a child what it set there."""
    lines = run(
        program,
        """
        import lastout

        handling = lastout.handle_signals()
        """,
        """
        import signal
        from say import say

        def work():
            import early

            say("handled", *early.handling.signals)
            early.handling.restore()
            say("restored", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
        """,
    )
    handled = f"handled {int(signal.SIGTERM)} {int(signal.SIGHUP)}"
    assert lines == [handled, "restored True", "status 0"]


def test_raise_in_main_at_module_level(program: Start) -> None:
    """`raise_in_main` that was asked for in the server raises in the main thread of a child."""
    lines = run(
        program,
        """
        import lastout
        from role import said

        lastout.handle_signals(raise_in_main=True)
        lastout.register(said, "handler")
        """,
        """
        import os, signal
        from role import said

        def work():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                said("finally")
        """,
    )
    assert lines == ["finally child", "handler child", f"status {-signal.SIGTERM}"]


def test_a_grandchild_that_knows_nothing_of_the_server(program: Start) -> None:
    """An inheritable handler of the server reaches spawned grandchildren; a plain one does not."""
    lines = run(
        program,
        """
        import lastout
        from role import said

        lastout.register(said, "plain")
        lastout.handler(inherit=True, args=("inheritable",))(said)
        """,
        """
        import multiprocessing, os

        def work():
            child = multiprocessing.get_context("spawn").Process(target=os.getpid)
            child.start()
            child.join()
        """,
    )
    # In the grandchild `role` is imported anew, and takes it for a server.
    ran = ["inheritable server", "inheritable child", "plain child"]
    assert lines == [*ran, "status 0"]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="_interpreters has another name")
def test_a_subinterpreter_of_a_child(program: Start) -> None:
    """A subinterpreter in a child of the server runs its own handlers at its end."""
    lines = run(
        program,
        "import lastout",
        """
        def work():
            import _interpreters, sys

            one = _interpreters.create()
            _interpreters.run_string(one, f"import sys; sys.path[:] = {sys.path!r}")
            _interpreters.run_string(one, "import lastout, say; lastout.register(say.say, 'ran')")
            _interpreters.destroy(one)
        """,
    )
    assert lines == ["ran", "status 0"]


@pytest.mark.parametrize("how", ["stdin", "-c"])
def test_a_main_program_that_has_no_file(program: Start, how: str) -> None:
    """Its handlers run once; its children, where CPython can start them, get what they inherit."""
    # CPython looks for a file `<stdin>`, and fails to start a child, each version in its way.
    text = """
import multiprocessing, os, role, lastout
lastout.register(role.said, 'main')
lastout.handler(inherit=True, args=('inheritable',))(role.said)
context = multiprocessing.get_context('forkserver')
try:
    child = context.Process(target=os.getpid); child.start(); child.join()
    role.say('status', child.exitcode)
except (OSError, EOFError):
    role.say('status 1')
"""
    child = program(
        """
        import subprocess, sys

        text, how = sys.argv[1:]
        command = [sys.executable, "-"] if how == "stdin" else [sys.executable, "-c", text]
        sys.exit(subprocess.run(command, input=text.encode(), check=False).returncode)
        """,
        args=[text, how],
        modules={"role": ROLE},
    )
    end = child.end()
    # Each of the two imports `role` for itself, and takes itself for the server.
    of_main = ["inheritable server", "main server"]
    if how == "stdin":
        assert child.lines == ["status 1", *of_main]
        assert "<stdin>" in end.err
    else:
        assert (end.err, child.lines) == ("", ["inheritable server", "status 0", *of_main])


def test_a_main_program_without_a_guard(program: Start) -> None:
    """It cannot start children by a fork server; its own handlers run once all the same."""
    child = program(
        """
        import multiprocessing, os
        import lastout
        from say import say

        lastout.register(say, "ran")
        try:
            child = multiprocessing.get_context("forkserver").Process(target=os.getpid)
            child.start()
            child.join()
            say("failed", child.exitcode != 0)
        except (OSError, EOFError):
            say("failed True")
        """
    )
    end = child.end()
    assert "bootstrapping phase" in end.err
    # From 3.13.8 on a server that imports it ends, or (3.15) goes on without.
    assert child.lines.count("failed True") == 1
    assert child.lines[-1] == "ran"
    # The child may have got as far itself: by spawn it would run that as well.
    assert child.lines.count("ran") <= 2


@pytest.mark.skipif(sys.version_info < (3, 15), reason="a fork server ends with its main script")
def test_a_main_program_that_only_children_can_import(program: Start) -> None:
    """What it set up before it failed in the server, its children set up once, for themselves."""
    child = program(
        """
        import multiprocessing, os, sys
        import lastout, module
        from say import say

        lastout.register(say, "registered")
        lastout.handler(inherit=True, args=("inheritable",))(say)
        scope = lastout.Scope("job")
        if multiprocessing.parent_process() is None and __name__ != "__main__":
            if "server" not in os.environ:
                os.environ["server"] = "has failed"
                raise RuntimeError("in the fork server only")
        if __name__ == "__main__":
            child = multiprocessing.get_context("forkserver").Process(target=module.work)
            child.start()
            child.join()
            lastout._clear()
            scope.leave()
        """,
        modules={
            "module": """
            import lastout
            from say import say

            lastout.register(say, "by a module")

            def work():
                say("members", len(lastout.current_scope().members()))
            """
        },
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["members 2", "inheritable", "registered", "by a module"]


def test_a_main_program_that_is_run_as_a_module(program: Start) -> None:
    """By `python -m` each child imports the main script itself, and runs its handlers once too."""
    child = program(
        "import os, sys; os.execv(sys.executable, [sys.executable, '-m', 'run_as_module'])",
        modules={
            "run_as_module": """
            import multiprocessing, os
            import lastout
            from say import say

            def ran():
                say("ran", os.getpid())

            lastout.register(ran)

            def work():
                say("child", os.getpid())

            if __name__ == "__main__":
                child = multiprocessing.get_context("forkserver").Process(target=work)
                child.start()
                child.join()
            """
        },
    )
    assert child.end() == (0, "", "")
    [pid] = (line.split()[1] for line in child.lines if line.startswith("child"))
    assert child.lines == [f"child {pid}", f"ran {pid}", f"ran {child.pid}"]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_the_server_forks_for_itself(program: Start, package: str) -> None:
    """A process that a module forks while the server imports it runs none of the handlers."""
    lines = run(
        program,
        """
        import os, sys
        import lastout
        from say import say

        lastout.register(lambda: say("ran", os.getpid()))
        own = os.fork()
        if not own:
            say("own", lastout._ncallbacks())
            sys.exit()
        os.waitpid(own, 0)
        """,
        "def work():\n    import os, say\n    say.say('child', os.getpid())",
        package,
    )
    pid = next(line.split()[1] for line in lines if line.startswith("child"))
    assert lines == ["own 0", f"child {pid}", f"ran {pid}", "status 0"]


def test_a_module_that_cannot_be_preloaded(program: Start) -> None:
    """What it registered before it failed is void: the child that imports it has it once."""
    lines = run(
        program,
        """
        import os
        import lastout
        from role import said

        lastout.register(said, "ran")
        if "early" not in os.environ:
            os.environ["early"] = "failed"
            raise ImportError("in the fork server only")
        """,
        "def work():\n    import early",
    )
    assert lines == ["ran child", "status 0"]


def test_a_program_that_only_looks_like_one(program: Start) -> None:
    """Whoever passes a server's command line as arguments to a script is none."""
    child = program(
        "import lastout; from say import say; lastout.register(say, 'ran')",
        args=["-c", "from multiprocessing.forkserver import main; main(3)"],
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["ran"]
