"""Fork server and scopes: it joins none; what it has to record keeps no scope from ending."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout._scopes.records import liveness as journal_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

PACKAGES = ("multiprocessing", "multiprocess")

# A main program whose fork server preloads the module `early`; `work` runs in its children.
MAIN = """
    import importlib, os, sys
    import lastout
    from say import say

    if __name__ == "__main__":
        import jobs

        package, children = sys.argv[1:]
        context = importlib.import_module(package).get_context("forkserver")
        context.set_forkserver_preload(["early"])
        for number in range(int(children)):
            child = context.Process(target=jobs.work)
            child.start()
            say("child", child.pid)
            child.join()
            say("status", child.exitcode)
        if hasattr(jobs, "end"):
            jobs.end()
"""


def run(
    program: Start,
    early: str,
    work: str,
    children: int = 1,
    package: str = PACKAGES[0],
    env: dict[str, str] | None = None,
) -> list[str]:
    """Run it to its end, without a word on standard error; what was said."""
    modules = {"early": early, "jobs": work}
    child = program(MAIN, args=[package, str(children)], modules=modules, env=env)
    end = child.end()
    assert (end.status, end.err) == (0, "")
    return child.lines


def shown(name: str) -> dict[str, Any]:
    """What `lastout show` says of a scope."""
    command = [sys.executable, "-m", "lastout", "show", name, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(ran.stdout)["scopes"][0]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_scope_at_module_level(program: Start, package: str) -> None:
    """Each child is a member of it from its beginning to its end; the server never is."""
    lines = run(
        program,
        "import lastout\nscope = lastout.Scope('early')",
        """
        import os
        from say import say

        def work():
            import early

            pids = [one.pid for one in early.scope.members()]
            say("members", len(pids), "me" if pids == [os.getpid()] else pids)
            early.scope.directory()
        """,
        children=2,
        package=package,
    )
    assert [line for line in lines if line.startswith("members")] == ["members 1 me"] * 2


def test_a_scope_that_has_no_name(program: Start) -> None:
    """Its name, path and worker are those of all children, and of nobody else."""
    lines = run(
        program,
        "import lastout\nscope = lastout.Scope()\npath, begin = scope.path, scope.worker",
        """
        from say import say

        def work():
            import early

            early.begin()
            members = len(early.scope.members())
            say("name", early.scope.name, members, early.path == early.scope.path)
        """,
        children=2,
    )
    first, second = [line.split() for line in lines if line.startswith("name")]
    assert first[1] == second[1]
    assert first[2:] == second[2:] == ["1", "True"]


def test_handlers_that_use_the_scope(program: Start) -> None:
    """A child leaves a scope of module level after the handlers registered later, which use it."""
    lines = run(
        program,
        """
        import lastout
        from say import say

        lastout.register(say, "before")
        scope = lastout.Scope("early")
        again = lastout.Scope("early")
        other = lastout.Scope("other")
        used = other.directory()

        @lastout.register
        def use():
            scope.directory()
            say("uses", lastout.current_scope().name)
        """,
        "def work(): pass",
    )
    assert [line for line in lines if not line.startswith("child")] == [
        "uses other",
        "before",
        "status 0",
    ]


def test_a_grandchild_leaves_at_its_end(program: Start) -> None:
    """What a process that a child forks makes for itself goes when that process ends."""
    lines = run(
        program,
        "import lastout\nscope = lastout.Scope('early')",
        """
        import os, sys
        from say import say

        def work():
            import early

            pid = os.fork()
            if not pid:
                say("made", os.fspath(early.scope.directory(lifetime="member")))
                sys.exit()
            os.waitpid(pid, 0)
            [own] = early.scope.members()
            say("left", own.pid == os.getpid(), early.scope.artifacts())
        """,
    )
    assert "left True ()" in lines


def test_the_server_joins_in_a_thread(program: Start) -> None:
    """A child that is forked while the server is joining, for its own use, joins by itself."""
    lines = run(
        program,
        """
        import os, threading
        import lastout
        from lastout._scopes.records.scope_lock import ScopeRef

        server, lock, joining = os.getpid(), ScopeRef.lock, threading.Event()

        def lock_for_ever(*arguments, **options):
            if os.getpid() == server:
                joining.set()
                threading.Event().wait()
            return lock(*arguments, **options)

        ScopeRef.lock = lock_for_ever
        scope = lastout.Scope("early")
        threading.Thread(target=scope.directory, daemon=True).start()
        joining.wait(30)
        """,
        """
        from say import say

        def work():
            import early

            say("members", len(early.scope.members()))
        """,
        env={"PYTHONWARNINGS": "ignore"},  # of a fork beside a thread
    )
    assert "members 1" in lines


def test_the_scope_ends_while_the_server_makes_things(program: Start) -> None:
    """Whatever it makes while the last members leave is recorded, and goes with the next reap."""
    child = program(
        """
        import lastout
        from multiprocessing import forkserver, set_forkserver_preload

        if __name__ == "__main__":
            set_forkserver_preload(["early"])
            scope = lastout.Scope("early")
            forkserver.ensure_running()
            input()
            scope.leave()
            for _ in range(20):
                lastout.Scope("early").leave()
            input()
        """,
        modules={
            "early": """
            import os
            import lastout
            from say import say

            scope = lastout.Scope("early")
            say("made", os.fspath(scope.directory()))
            say("begun")
            for _ in range(200):
                say("made", os.fspath(scope.directory()))
            say("over")
            """
        },
    )
    child.wait_for("begun")
    child.tell()
    child.wait_for("over")
    child.tell()
    child.end()
    made = [line.split()[1] for line in child.lines if line.startswith("made")]
    assert len(made) == 201
    lastout.reap(name="early")
    assert [path for path in made if os.path.exists(path)] == []


def test_a_failure_to_join_in_the_server(program: Start) -> None:
    """Where the server could not join for its own use, its children join all the same."""
    lines = run(
        program,
        """
        import os
        import lastout

        scope = lastout.Scope("early")
        root = os.path.dirname(scope.path)
        os.mkdir(root)
        os.chmod(root, 0o777)
        try:
            scope.directory()
        except lastout.LastoutError as error:
            from say import say
            say(type(error).__name__)
        os.chmod(root, 0o700)
        """,
        """
        from say import say

        def work():
            import early

            say("members", len(early.scope.members()))
        """,
    )
    assert [line for line in lines if not line.startswith(("child", "status"))] == [
        "RootRefused",
        "members 1",
    ]


def test_a_scope_that_was_left_at_module_level(program: Start) -> None:
    """What is used and left while the module is imported is cleaned there, and no child's."""
    lines = run(
        program,
        """
        import os
        import lastout
        from say import say

        with lastout.Scope("early") as scope:
            made = scope.directory()
        say("there", os.path.exists(made))
        other = lastout.Scope("other")
        other.leave()
        """,
        """
        import lastout, os
        from say import say

        def work():
            say("in", os.listdir(os.environ["LASTOUT_ROOT"]))
        """,
    )
    assert [line for line in lines if line.startswith(("there", "in"))] == ["there False", "in []"]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_the_server_makes(program: Start, package: str) -> None:
    """It stays as long as a member is in, is named by `lastout`, and goes with the last one."""
    early = """
    import lastout

    scope = lastout.Scope("early")
    made = scope.directory(lifetime="member")
    """
    work = """
    import os
    from say import say

    def work():
        import early

        say("there", os.path.exists(early.made), os.fspath(early.made))
        say("server", os.getppid())
    """
    # Another one is in: the children come and go, and it leaves last.
    with lastout.Scope("early") as scope:
        child = program(
            MAIN.replace("jobs.end()", "input()").replace('hasattr(jobs, "end")', "True"),
            args=[package, "2"],
            modules={"early": early, "jobs": work},
        )
        child.wait_for("status 0", 2)
        [server] = {int(line.split()[1]) for line in child.lines if line.startswith("server")}
        [made] = {line.split()[2] for line in child.lines if line.startswith("there")}
        assert all(line.split()[1] == "True" for line in child.lines if line.startswith("there"))
        [helper] = [one for one in shown("early")["members"] if one["helper"]]
        assert (helper["pid"], helper["program"]) == (server, "fork server")
        assert (helper["alive"], helper["unresolved"]) == (True, 1)
        listed = subprocess.run(
            [sys.executable, "-m", "lastout", "list"], capture_output=True, text=True, check=True
        )
        assert f"early: the fork server {server} holds 1 of these" in listed.stdout
        assert " 1     0          1 " in listed.stdout  # alive, dead, artifacts
        scope.leave()
        # The server lives on.
        os.kill(server, 0)
        assert not os.path.exists(made)
        assert not Path(scope.path).exists()
        child.tell()
        assert child.end() == (0, "", "")


def test_after_its_scope_is_gone(program: Start) -> None:
    """A child that is forked when the server's scope has ended begins the scope anew."""
    lines = run(
        program,
        "import lastout\nscope = lastout.Scope('early')\nmade = scope.directory()",
        """
        import os
        from say import say

        def work():
            import early

            say("there", os.path.exists(early.made), len(early.scope.members()))
            early.scope.directory()
        """,
        children=3,
    )
    # The first child is the last to leave, and cleans what the server had made.
    there = [line for line in lines if line.startswith("there")]
    assert there == ["there True 2", "there False 1", "there False 1"]


def test_a_server_that_was_killed(program: Start) -> None:
    """What it had made is cleaned after it, by the next to join, like any member's."""
    child = program(
        MAIN.replace("jobs.end()", "input()").replace('hasattr(jobs, "end")', "True"),
        args=["multiprocessing", "1"],
        modules={
            "early": """
            import os
            import lastout
            from say import say

            scope = lastout.Scope("early")
            say("made", os.fspath(scope.directory()))
            say("server", os.getpid())
            """,
            "jobs": """
            import os

            def work():
                os._exit(0)
            """,
        },
    )
    child.wait_for("status 0")
    said = dict(line.split(maxsplit=1) for line in child.lines)
    assert os.path.exists(said["made"])  # the child left nobody who would have cleaned
    os.kill(int(said["server"]), 9)
    child.tell()
    child.end()
    with lastout.Scope("early"):
        assert not os.path.exists(said["made"])


def test_named_by_the_environment(program: Start) -> None:
    """`current_scope()` at module level joins for the children, not for the server."""
    with lastout.Scope("outer") as scope:
        lines = run(
            program,
            "import lastout\nscope = lastout.current_scope()",
            """
            import os
            import lastout
            from say import say

            def work():
                import early

                pids = [one.pid for one in early.scope.members()]
                say("in", os.getpid() in pids, os.getppid() in pids, len(pids))
                assert lastout.current_scope().name == "outer"
            """,
            env={"LASTOUT_SCOPE": scope.path},
        )
    assert "in True False 2" in lines


def test_a_guardian_at_module_level(program: Start) -> None:
    """`Scope(guardian=True)` has one as soon as a child is in, and not before."""
    lines = run(
        program,
        """
        import os
        import lastout
        from say import say

        scope = lastout.Scope("early", guardian=True)
        say("before", os.path.exists(scope.path))
        """,
        """
        import os
        from say import say

        def work():
            import early

            say("after", "guardian.lock" in os.listdir(early.scope.path))
        """,
    )
    assert [line for line in lines if line.startswith(("before", "after"))] == [
        "before False",
        "after True",
    ]


def test_a_scope_that_no_child_can_join(program: Start) -> None:
    """The error is shown in each child, which goes on; using the scope raises it again."""
    child = program(
        MAIN,
        args=["multiprocessing", "1"],
        modules={
            "early": """
            import os
            import lastout

            scope = lastout.Scope("early")
            os.mkdir(os.path.dirname(scope.path), 0o777)
            os.chmod(os.path.dirname(scope.path), 0o777)
            """,
            "jobs": """
            import lastout
            from say import say

            def work():
                import early

                try:
                    early.scope.directory()
                except lastout.LastoutError as error:
                    say(type(error).__name__)
            """,
        },
    )
    end = child.end()
    assert end.status == 0
    assert "RootRefused" in end.err
    # Its number and its own word come in either order.
    assert [line for line in child.lines if not line.startswith("child")] == [
        "RootRefused",
        "status 0",
    ]
    os.rmdir(os.environ["LASTOUT_ROOT"])


def test_its_worker_initializer(program: Start) -> None:
    """`scope.worker` at module level joins nothing there; its maker is the child that uses it."""
    lines = run(
        program,
        """
        import lastout

        scope = lastout.Scope("early", guardian=True)
        begin = scope.worker
        """,
        """
        import os
        from say import say

        def work():
            import early

            early.begin()
            say("members", [one.pid for one in early.scope.members()] == [os.getpid()])
            say("parent", early.begin._parent.pid == os.getpid())
        """,
    )
    assert {"members True", "parent True"} <= {*lines}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_start_method_is_set_later(program: Start, package: str) -> None:
    """A scope that was made before is a child's if it is passed, or by `scope.worker`."""
    child = program(
        """
        import importlib, os, sys
        import lastout
        import jobs
        from say import say

        if __name__ == "__main__":
            package = importlib.import_module(sys.argv[1])
            with lastout.Scope() as scope:
                shared = scope.directory()
                package.set_start_method("forkserver", force=True)
                passed = package.Process(target=jobs.work, args=(scope,))
                passed.start()
                passed.join()
                with package.Pool(1, scope.worker) as pool:
                    pool.apply(jobs.work)
                    pool.close()
                    pool.join()
            say("there", os.path.exists(shared))
        """,
        args=[package],
        modules={
            "jobs": """
            import os
            import lastout
            from say import say

            def work(scope=None):
                scope = scope or lastout.current_scope()
                say("in", os.getpid() in [one.pid for one in scope.members()])
            """
        },
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["in True", "in True", "there False"]


@pytest.mark.parametrize("kept", [True, False], ids=["a member is in", "alone"])
def test_waiting_for_others(program: Start, kept: bool) -> None:
    """`wait=` waits for members, not for a fork server."""
    lines = run(
        program,
        "import lastout\nscope = lastout.Scope('early')\nscope.directory()",
        f"""
        import time
        import lastout
        from say import say

        def work():
            pass

        def end():
            others = [lastout.Scope("early", wait=0.5)]
            if {kept}:
                other = __import__("subprocess").Popen(
                    [__import__("sys").executable, "-c", "import lastout\\n"
                     "with lastout.Scope('early'): print(flush=True); input()"],
                    stdin=-1, stdout=-1)
                other.stdout.readline()
            began = time.monotonic()
            others[0].leave()
            say("waited", time.monotonic() - began > 0.4)
            if {kept}:
                other.communicate(b"\\n")
        """,
    )
    assert lines[-1] == f"waited {kept}"


def test_a_helper_is_known_by_its_name() -> None:
    """Which member only serves others is told by its token, without a look at its journal."""
    token = journal_lock.new_helper_token()
    assert journal_lock.is_helper(token)
    assert not journal_lock.is_helper(token.removesuffix("-helper"))
