"""Children: every kind of child runs what it registered, once, in order, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import lastout
from support import eventually
from support.lives import Lives
from support.unshared import unshared

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Ended, Program

    Start = Callable[..., Program]

PROGRAMS = Path(__file__).parents[1] / "programs"
IMPORTED_FROM = Path(lastout.__file__).parents[1]

PACKAGES = ("multiprocessing", "multiprocess")
METHODS = ("fork", "forkserver", "spawn")
PROCESSES = [
    f"{package}:{method}"
    for package in PACKAGES
    for method in ("fork", "forkserver", "forkserver+preload", "spawn")
]
POOLS = [f"{package}:{method}:Pool" for package in PACKAGES for method in METHODS]
EXECUTORS = [f"multiprocessing:{method}:ProcessPoolExecutor" for method in METHODS]
EXECUTORS += ["loky", "loky:reusable", "joblib"]
PLAIN = ["os.fork", "subprocess"]
KINDS = PLAIN + PROCESSES + POOLS + EXECUTORS

ORDERS = ("lastout first", "package first")


def packages_of(kinds: list[str]) -> str:
    """The package of the first kind: the others are imported only in the children."""
    package = kinds[0].split(":")[0]
    return "" if package in PLAIN else package


@pytest.fixture
def family(program: Start) -> Callable[..., tuple[Program, Callable[[], tuple[Ended, Lives]]]]:
    """Start a main script that can import `tests/programs`; gives it, and how to see its lives."""

    def start(script: str, *args: object) -> tuple[Program, Callable[[], tuple[Ended, Lives]]]:
        paths = os.pathsep.join((str(PROGRAMS), str(IMPORTED_FROM)))
        text = (PROGRAMS / f"{script}.py").read_text()
        child = program(text, args=[json.dumps(args)], env={"PYTHONPATH": paths})

        def ended() -> tuple[Ended, Lives]:
            end = child.end()
            # A forkserver ends when it sees that its starter has, which nobody waits for.
            eventually(lambda: Lives(child.lines).over)
            return end, Lives(child.lines)

        return child, ended

    return start


def lives_of(family, kinds: list[str], ending: str = "return", order: str = ORDERS[0]) -> Lives:
    """Run a family to its end; it must end well and every process as `lastout` promises."""
    child, ended = family("driver", kinds, ending, order, packages_of(kinds))
    if ending == "SIGINT":
        child.wait_for("ready")
        last = f"lived {len(kinds)} "
        os.kill(
            next(int(line.split()[2]) for line in child.lines if line.startswith(last)),
            signal.SIGINT,
        )
    end, lives = ended()
    assert end.status == 0, end.err
    if ending in ("return", "sys.exit(3)"):
        assert end.err == ""
    assert [len(lives.of(str(generation))) for generation in range(len(kinds) + 1)] == [1] * (
        len(kinds) + 1
    ), lives
    lives.check_all_ran_what_they_registered()
    lives.check_what_was_preloaded(kinds)
    return lives


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_child_runs_its_own_handlers(family, kind: str, order: str) -> None:
    """A child runs its own handlers once, last in first out, and none of its parent's."""
    lives = lives_of(family, [kind], order=order)
    assert set(lives.statuses.get(1, ["0"])) == {"0"}


ENDINGS = {"sys.exit(3)": "3", "exception": "1", "SIGINT": "1"}


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", PLAIN + PROCESSES)
def test_child_runs_its_handlers_however_it_ends(family, kind: str, ending: str) -> None:
    """Handlers run once on `sys.exit`, an uncaught exception and SIGINT; the exit status stays."""
    lives = lives_of(family, [kind], ending)
    killed = ending == "SIGINT" and kind in PLAIN  # CPython's own main program dies of it
    assert lives.statuses[1] == [str(-signal.SIGINT) if killed else ENDINGS[ending]]


# Workers of a `multiprocessing.Pool` are daemonic: they cannot have children of that package.
# joblib starts no processes inside its own workers.
PARENTS = PLAIN + PROCESSES + [kind for kind in EXECUTORS if kind != "joblib"]


@pytest.mark.thorough(one_in=2)
@pytest.mark.parametrize("kind", PARENTS)
def test_grandchild_of_the_same_kind(family, kind: str) -> None:
    """A grandchild runs its own handlers once, and so do its parent and its grandparent."""
    lives = lives_of(family, [kind, kind])
    assert set(lives.statuses) == {1, 2}
    assert {*lives.statuses[1], *lives.statuses[2]} == {"0"}


ACROSS = [
    (f"{outer}:{one}{how}", f"{inner}:{other}")
    for outer, inner in (PACKAGES, PACKAGES[::-1])
    for how in ("", ":Pool")
    for one in METHODS
    for other in METHODS
]
ACROSS += [pair for kind in PROCESSES for pair in (("os.fork", kind), (kind, "os.fork"))]
ACROSS += [
    ("multiprocess:spawn", "loky"),
    ("multiprocess:fork", "multiprocessing:fork:ProcessPoolExecutor"),
    ("loky", "multiprocess:fork"),
    ("loky", "multiprocess:spawn:Pool"),
    ("multiprocessing:spawn:ProcessPoolExecutor", "multiprocess:forkserver"),
    ("joblib", "multiprocess:spawn"),
    ("subprocess", "multiprocessing:spawn:Pool"),
]


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("kinds", ACROSS, ids=" > ".join)
def test_grandchild_of_another_kind(family, kinds: tuple[str, str]) -> None:
    """A child of one package, which imports another and starts a child of its own with it."""
    lives = lives_of(family, list(kinds))
    assert set(lives.statuses[2]) == {"0"}


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("kind", ["os.fork", *PROCESSES, *POOLS, *EXECUTORS])
def test_child_started_on_a_thread(family, kind: str) -> None:
    """A child that another thread than the main one starts has its own handlers only."""
    _, ended = family("threads", kind)
    end, lives = ended()
    assert (end.status, end.err) == (0, "")
    assert set(lives.statuses.get(1, ["0"])) == {"0"}
    lives.check_all_ran_what_they_registered()
    assert lives.of("1")


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("module", ["decorated", "late"])
@pytest.mark.parametrize("kind", KINDS)
def test_decorator_at_module_level(family, kind: str, module: str) -> None:
    """A handler that a module registers by decoration runs in each process that imported it."""
    _, ended = family("decorated_driver", kind, module)
    end, lives = ended()
    assert (end.status, end.err) == (0, "")
    lives.check_all_ran_what_they_registered(module_level=["goodbye", "preloaded"])
    assert any("goodbye" in life.ran for life in lives.of("main"))
    [worker] = lives.of("work")
    forked = kind == "os.fork" or ":fork" in kind.replace(":forkserver", "")
    # A forked child has what it imports itself, not what its parent had imported already.
    assert ("flush" in worker.ran) == (module == "late" or not forked)


INHERITABLE = ["main_level", "module", "arguments", "lambda", "closure", "method", "partial"]
INHERITABLE += ["twice", "twice"]


def inheriting(family, order: str, kinds: list[str]) -> None:
    """Run a family in which each process has to run all inheritable handlers, and its own."""
    _, ended = family("inheriting", order, packages_of(kinds), kinds)
    end, lives = ended()
    assert (end.status, end.err) == (0, "")
    assert all(lives.of(str(generation)) for generation in range(len(kinds) + 1)), lives
    lives.check_all_ran_what_they_registered(INHERITABLE)
    lives.check_what_was_preloaded(kinds)


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "subprocess"])
def test_child_inherits(family, kind: str, order: str) -> None:
    """Inheritable handlers run once in each process, whether the package came before or after."""
    inheriting(family, order, [kind])


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("kind", [kind for kind in PARENTS if kind != "subprocess"])
def test_grandchild_inherits(family, kind: str) -> None:
    """A grandchild of the same kind gets them from its parent."""
    inheriting(family, ORDERS[0], [kind, kind])


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize(
    "kinds", [pair for pair in ACROSS if "subprocess" not in pair], ids=" > ".join
)
def test_grandchild_of_another_kind_inherits(family, kinds: tuple[str, str]) -> None:
    """So does one that is started by a package which only its parent has imported."""
    inheriting(family, ORDERS[0], list(kinds))


@pytest.mark.thorough(one_in=2)
@pytest.mark.skipif(
    sys.version_info >= (3, 13),
    reason="3.13 joins in the child's atexit, where what was registered later runs first",
)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("package", PACKAGES)
def test_child_waits_for_its_own_children_first(program: Start, package: str, method: str) -> None:
    """The package joins the children of a child at its end; the handlers come after that."""
    child = program(
        """
        import importlib, sys, time
        import lastout
        from say import say

        def child(context_of, method):
            lastout.register(say, "handler of the child")
            context_of(method).Process(target=grandchild).start()

        def grandchild():
            time.sleep(0.2)
            say("grandchild")

        if __name__ == "__main__":
            package, method = sys.argv[1:]
            context_of = importlib.import_module(package).get_context
            process = context_of(method).Process(target=child, args=(context_of, method))
            process.start()
            process.join()
        """,
        args=[package, method],
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["grandchild", "handler of the child"]


def test_a_child_with_the_pid_of_its_parent(tmp_path: Path) -> None:
    """The first process of a new namespace has the pid of its parent, and a stack of its own."""
    script = tmp_path / "first.py"
    script.write_text(
        dedent(
            """
            import ctypes, os, sys
            import lastout

            def say(word):
                print(word, flush=True)

            lastout.register(say, "parent's")
            lastout.handle_signals()
            CLONE_NEWPID = 0x20000000
            assert ctypes.CDLL(None).unshare(CLONE_NEWPID) == 0
            outside = os.fork()
            if not outside:
                lastout.register(say, "child's")
                print(os.getpid(), flush=True)
                os.kill(os.getpid(), 15)
                while True:
                    pass
            _, status = os.waitpid(outside, 0)
            print("status", os.waitstatus_to_exitcode(status), flush=True)
            """
        )
    )
    command = [*unshared("--pid", "--fork", "--kill-child"), sys.executable, str(script)]
    paths = os.pathsep.join([str(IMPORTED_FROM), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The kernel drops a deadly signal of the first process to itself; see `die_of`.
    said = ["1", "child's", "status 143", "parent's"]
    assert (ran.returncode, ran.stdout.split("\n")[:-1]) == (0, said), ran.stderr


def test_a_follower_that_fails(program: Start) -> None:
    """What one that follows forks raises is shown; the fork, and the others, go on."""
    child = program(
        """
        import os
        import lastout
        from lastout._exits import children
        from say import say

        def fails():
            raise ValueError("this one")

        children.follow_forks(fails, fails, fails)
        children.follow_forks(lambda: say("before"), lambda: say("parent"), lambda: say("child"))
        lastout.register(print)
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        """
    )
    ended = child.end()
    assert ended.status == 0
    # In the child all is tried once more, for what Ctrl-C interrupts.
    assert sorted(child.lines) == ["before", "child", "child", "parent"]
    assert ended.err.count("ValueError: this one") == 4


def test_a_subinterpreter_follows_nobody(program: Start) -> None:
    """In a subinterpreter, which forks nothing, no hook but atexit's is armed."""
    child = program(
        """
        import os
        import lastout
        from lastout._exits import children
        from lastout._platform import imports
        from say import say

        children.in_main_interpreter = imports.in_main_interpreter = lambda: False
        os.register_at_fork = lambda **_: say("hooked")
        lastout.register(say, "at exit")
        """
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["at exit"]
