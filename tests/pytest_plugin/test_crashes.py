"""Shared fixtures in runs that go wrong: killed workers, a killed controller, Ctrl-C, -x."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from support import eventually, is_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program
    from support.suites import Suite

# A server that any worker can use, whoever started it.
SERVER = """
    import os, signal, time
    import pytest
    from lastout.pytest_plugin import shared_fixture
    from say import say

    @pytest.fixture(scope="session")
    def place(tmp_path_factory):
        return tmp_path_factory.getbasetemp().parent

    @shared_fixture(teardown=lambda value: say("down", *value))
    def server(lastout_run, place):
        say("up", os.getpid())
        directory = lastout_run.directory()
        process = lastout_run.popen(["sleep", "600"], cwd=directory)
        return [os.getpid(), process.pid, str(directory)]
"""


def gone(line: str) -> bool:
    """Whether server and directory of a "down PID SERVER DIRECTORY" are gone."""
    _, _, server, directory = line.split()
    return not Path(directory).exists() and not is_running(int(server))


def test_the_worker_that_set_it_up_is_killed(suite: Callable[..., Suite]) -> None:
    """What a worker set up outlives it, for the others; the last one out tears it down."""
    ran = suite(
        conftest=SERVER,
        test_it="""
            import os, signal
            import pytest
            from say import say

            @pytest.mark.parametrize("number", range(8))
            def test_it(server, place, number):
                setter, process, directory = server
                os.kill(process, 0)
                assert os.path.isdir(directory)
                if setter == os.getpid():
                    os.kill(os.getpid(), signal.SIGKILL)
                say("used")
        """,
    ).run("-n2")
    assert ran.counts == {"failed": 1, "passed": 7}, ran.out
    assert [line.split()[0] for line in ran.lines] == ["up", *["used"] * 7, "down"]
    assert gone(ran.lines[-1])


def test_all_workers_are_killed_one_by_one(suite: Callable[..., Suite]) -> None:
    """As long as the controller lives the next worker finds what the first one set up."""
    ran = suite(
        conftest=SERVER,
        test_it="""
            import os, signal
            import pytest

            @pytest.mark.parametrize("number", range(3))
            def test_it(server, number):
                os.kill(server[1], 0)
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    ).run("-n1", "--max-worker-restart=5")
    assert ran.counts == {"failed": 3}, ran.out
    assert [line.split()[0] for line in ran.lines] == ["up", "down"], ran.out
    assert gone(ran.lines[-1])


def test_killed_in_the_middle_of_setting_up(suite: Callable[..., Suite]) -> None:
    """If it is killed in its set-up, the next worker cleans what it made, and sets up anew."""
    ran = suite(
        conftest="""
            import os, signal
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def complete(lastout_run):
                return str(lastout_run.directory())

            @shared_fixture
            def directory(complete, lastout_run, tmp_path_factory, request):
                inner = request.getfixturevalue("inner")
                made = lastout_run.directory()
                say("made", made)
                flag = tmp_path_factory.getbasetemp().parent / "killed"
                if not flag.exists():
                    flag.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                yield [complete, inner, str(made)]
                say("down", made)

            @shared_fixture
            def inner(lastout_run):
                say("inner up")
                return str(lastout_run.directory())
        """,
        test_it="""
            import os
            import pytest
            from say import say

            @pytest.mark.parametrize("number", range(4))
            def test_it(directory, number):
                assert all(map(os.path.isdir, directory))
                left = [line for line in open(os.environ["SAY_TO"]).read().split()
                        if os.path.isdir(line)]
                assert left == directory[2:], "what the killed one made is gone"
        """,
    ).run("-n2")
    assert ran.counts == {"failed": 1, "passed": 3}, ran.out
    inner, first, second, down = [line.split() for line in ran.lines]
    assert inner == ["inner", "up"]
    assert (first[0], second[0], down) == ("made", "made", ["down", second[1]])
    assert not os.path.exists(first[1])


def test_what_stands_behind_the_yield_is_lost_and_told(suite: Callable[..., Suite]) -> None:
    """A second half whose worker was killed does not run, the summary says so; the rest goes."""
    ran = suite(
        conftest="""
            import os
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value(lastout_run):
                yield [os.getpid(), str(lastout_run.directory())]
                say("down")
        """,
        test_it="""
            import os, signal
            from say import say

            def test_a(value):
                say(value[1])
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    ).run("-n1", "--max-worker-restart=0")
    [directory] = ran.lines
    assert not os.path.exists(directory)
    assert "'value' (conftest.py:6): what stands behind its `yield` did not run" in ran.out


def test_the_scope_of_a_killed_test(suite: Callable[..., Suite]) -> None:
    """What a killed worker's test made in its own scope is gone before the next worker starts."""
    ran = suite(
        test_it="""
            import os, signal
            from say import say

            def test_killed(lastout_scope):
                say(lastout_scope.directory())
                os.kill(os.getpid(), signal.SIGKILL)

            def test_next():
                [directory] = open(os.environ["SAY_TO"]).read().splitlines()
                assert not os.path.exists(directory)
        """
    ).run("-n1")
    assert ran.counts == {"failed": 1, "passed": 1}, ran.out


def test_the_controller_is_killed(suite: Callable[..., Suite]) -> None:
    """If the controller is killed, the last worker to end cleans up."""
    program = suite(
        conftest=SERVER,
        test_it="""
            import os, time
            import pytest
            from say import say

            @pytest.mark.parametrize("number", range(2))
            def test_it(server, number):
                say("using", os.getpid(), *server)
                end = time.monotonic() + 60
                while os.getppid() != 1 and time.monotonic() < end:
                    time.sleep(0.01)
        """,
    ).start("-n2")
    assert eventually(lambda: sum("using" in line for line in program.lines) == 2, 30)
    workers = [int(line.split()[1]) for line in program.lines if "using" in line]
    program.kill()
    assert eventually(lambda: not any(map(is_running, workers)), 30)
    assert [line.split()[0] for line in program.lines] == ["up", "using", "using", "down"]
    assert gone(program.lines[-1])


HANGING = """
    import os, time
    from say import say

    def test_it(server):
        say("using", os.getpid(), *server)
        if os.environ.get("HANG"):
            time.sleep(60)
"""


def kill_all(program: Program) -> str:
    """Kill all processes of a run of HANGING; the line that says what was torn down."""
    assert eventually(lambda: len(program.lines) == 2, 30)
    worker, *value = program.lines[1].split()[1:]
    os.kill(program.pid, signal.SIGSTOP)  # so that it does not see the worker die
    os.kill(int(worker), signal.SIGKILL)
    program.kill()
    program.end()
    return " ".join(["down", *value])


def test_all_are_killed(suite: Callable[..., Suite]) -> None:
    """If all processes of a run are killed, the next run cleans up after them."""
    runs = suite(conftest=SERVER, test_it=HANGING)
    program = runs.start("-n1", HANG="1")
    down = kill_all(program)
    assert not gone(down)
    ran = runs.run("-n1")
    assert ran.counts == {"passed": 1}, ran.out
    assert gone(down)
    assert gone(ran.lines[-1])
    assert program.lines[2:] == []
    assert down in ran.lines


def test_all_are_killed_but_a_guardian(suite: Callable[..., Suite]) -> None:
    """With a guardian everything is cleaned at once, even if all processes of a run are killed."""
    program = suite(conftest=SERVER, test_it=HANGING).start("-n1", "--lastout-guardian", HANG="1")
    down = kill_all(program)
    assert eventually(lambda: gone(down), 30)
    assert eventually(lambda: program.lines[2:] == [down], 10)


MEETING = """
    import os, signal, time
    import pytest
    from lastout.pytest_plugin import shared_fixture
    from say import say

    @pytest.fixture(scope="session")
    def until():
        def wait(true):
            end = time.monotonic() + 30
            while not true():
                assert time.monotonic() < end
                time.sleep(0.002)
        return wait

    @pytest.fixture(scope="session")
    def other_is_through(until):
        root = os.environ["LASTOUT_ROOT"]
        def waits():
            return any("waiting-gw" in name for *_, names in os.walk(root) for name in names)
        return lambda: until(waits)

    @shared_fixture
    def older():
        say("older up")
        yield os.getpid()
        say("older down")

    @shared_fixture(teardown=lambda value: say("newer down"))
    def newer(older):
        say("newer up")
        return os.getpid()
"""


def test_a_crashed_worker_is_waited_for_until_it_is_replaced(suite: Callable[..., Suite]) -> None:
    """What the others have set up is there for the worker that replaces a crashed one."""
    ran = suite(
        conftest=MEETING,
        test_it="""
            import os, signal

            def test_killed(other_is_through):
                other_is_through()
                os.kill(os.getpid(), signal.SIGKILL)

            def test_sets_it_up(older):
                pass

            def test_needs_it_later(older):
                assert older != os.getpid()
        """,
    ).run("-n2")
    assert ran.counts == {"failed": 1, "passed": 2}, ran.out
    assert ran.lines == ["older up", "older down"]


def test_in_order_also_what_a_killed_worker_has_set_up(suite: Callable[..., Suite]) -> None:
    """What a killed worker set up last goes before what a living one set up first."""
    ran = suite(
        conftest=MEETING,
        test_it="""
            import os, signal
            from say import say

            def test_killed(request, until, other_is_through):
                until(lambda: "older up" in open(os.environ["SAY_TO"]).read())
                request.getfixturevalue("newer")
                other_is_through()
                os.kill(os.getpid(), signal.SIGKILL)

            def test_sets_it_up(older):
                pass
        """,
    ).run("-n2", "--max-worker-restart=0")
    assert ran.lines == ["older up", "newer up", "newer down", "older down"], ran.out


@pytest.mark.thorough(one_in=2)
@pytest.mark.parametrize("restarts", ["--max-worker-restart=0", "--max-worker-restart=1"])
def test_after_the_last_restart_nobody_is_waited_for(
    suite: Callable[..., Suite], restarts: str
) -> None:
    """A worker that crashes and is not replaced holds nobody up who has something to tear down."""
    began = monotonic()
    ran = suite(
        conftest="""
            import os, time
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value():
                say("up")
                yield os.getpid()
                say("down")
        """,
        test_it="""
            import os, signal, time
            import pytest

            @pytest.mark.parametrize("number", range(6))
            def test_it(value, number):
                if os.getpid() != value:
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(0.3)
        """,
    ).run("-n2", restarts)
    assert ran.lines == ["up", "down"], ran.out
    assert monotonic() - began < 25


def test_stop_at_the_first_failure(suite: Callable[..., Suite]) -> None:
    """With `-x` what was set up is torn down, once."""
    ran = suite(
        conftest=SERVER,
        test_it="""
            import pytest

            @pytest.mark.parametrize("number", range(10))
            def test_it(server, number):
                assert number != 2
        """,
    ).run("-n2", "-x")
    assert ran.status == 2, ran.out
    assert [line.split()[0] for line in ran.lines] == ["up", "down"]
    assert gone(ran.lines[-1])


@pytest.mark.thorough(one_in=2)
@pytest.mark.parametrize("to_whom", ["all", "controller"])
def test_ctrl_c(suite: Callable[..., Suite], to_whom: str) -> None:
    """Ctrl-C tears down what stands behind a `yield`, once; so does SIGINT to the controller."""
    program = suite(
        conftest="""
            import os
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def older():
                say("older up")
                yield
                say("older down")

            @shared_fixture
            def newer(older):
                say("newer up")
                yield
                say("newer down")
        """,
        test_it="""
            import time
            import pytest
            from say import say

            @pytest.mark.parametrize("number", range(2))
            def test_it(newer, number):
                say("hangs")
                time.sleep(60)
        """,
    ).start("-n2")
    program.wait_for("hangs", 2)
    if to_whom == "all":
        program.interrupt()
    else:
        program.signal(signal.SIGINT)
    ended = program.end()
    assert ended.status == 2, ended.out + ended.err
    assert program.lines[-2:] == ["newer down", "older down"], ended.out + ended.err
    assert len(program.lines) == 6


def test_ctrl_c_while_it_is_set_up(suite: Callable[..., Suite]) -> None:
    """A set-up that Ctrl-C interrupts is no failure of it; what it made is cleaned."""
    program = suite(
        conftest="""
            import time
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value(lastout_run):
                say(lastout_run.directory())
                say("hangs")
                time.sleep(60)
        """,
        test_it="""
            import pytest

            @pytest.mark.parametrize("number", range(2))
            def test_it(value, number): pass
        """,
    ).start("-n1")
    program.wait_for("hangs")
    program.interrupt()
    assert program.end().status == 2
    assert not os.path.exists(program.lines[0])


def test_a_failure_reaches_all_workers_at_once(suite: Callable[..., Suite]) -> None:
    """If the set-up fails, all workers get the same error at once, and nobody tries again."""
    ran = suite(
        conftest="""
            import time
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            # Or one worker may do the tests of all before the others are there.
            @pytest.fixture(scope="session", autouse=True)
            def all_are_there(tmp_path_factory, worker_id):
                place = tmp_path_factory.getbasetemp().parent
                (place / f"here-{worker_id}").touch()
                end = time.monotonic() + 30
                while len([*place.glob("here-*")]) < 3:
                    assert time.monotonic() < end
                    time.sleep(0.005)

            class Odd(Exception):
                def __init__(self, one, two):
                    super().__init__("odd")

            @shared_fixture
            def plain():
                say("plain")
                raise ConnectionError(111, "nobody listens")

            @shared_fixture
            def odd():
                say("odd")
                raise Odd(1, 2)
        """,
        test_it="""
            import pytest

            @pytest.mark.parametrize("number", range(6))
            def test_plain(plain, number): pass

            @pytest.mark.parametrize("number", range(6))
            def test_odd(odd, number): pass
        """,
    ).run("-n3")
    assert ran.counts == {"errors": 12}, ran.out
    assert sorted(ran.lines) == ["odd", "plain"]
    assert ran.out.count("ERROR test_it.py::test_plain") == 6
    short = [line for line in ran.out.splitlines() if line.startswith("ERROR test_it.py::")]
    assert all("[Errno 111] nobody listens" in line for line in short if "plain" in line)
    assert all("odd" in line.split(" - ")[1] for line in short if "test_odd" in line)
    assert "This is how the shared fixture 'plain' (conftest.py:21) failed in the worker" in ran.out
    assert "could not be set up by the worker gw" in ran.out


@pytest.mark.thorough(one_in=4)
@pytest.mark.parametrize(
    ("raises", "counts", "traced"),
    [
        ("skip('no docker here')", {"skipped": 4}, False),
        ("xfail('no docker here')", {"xfailed": 4}, False),
        ("fail('no docker here')", {"errors": 4}, True),
        ("fail('no docker here', pytrace=False)", {"errors": 4}, False),
    ],
)
def test_an_outcome_reaches_all_workers(
    suite: Callable[..., Suite], raises: str, counts: dict[str, int], traced: bool
) -> None:
    """If the set-up skips, xfails or fails, the tests of all workers do, for that reason."""
    ran = suite(
        conftest=f"""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value():
                say("up")
                pytest.{raises}
        """,
        test_it="""
            import pytest

            @pytest.mark.parametrize("number", range(4))
            def test_it(value, number): pass
        """,
    ).run("-n2", "-rsx")
    assert ran.counts == counts, ran.out
    assert ran.lines == ["up"]
    assert "no docker here" in ran.out
    assert ("runs.py" in ran.out) == traced
