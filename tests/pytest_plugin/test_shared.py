"""shared_fixture: set up once for all workers, torn down once, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.suites import Suite

TWO = """
    import os
    import pytest
    from lastout.pytest_plugin import shared_fixture
    from say import say

    @shared_fixture
    def first(worker_id="main"):
        say("first up")
        yield {"pid": os.getpid()}
        say("first down")

    @shared_fixture
    def second(first):
        say("second up")
        yield [first["pid"], os.getpid()]
        say("second down")
"""
MANY = """
    import pytest
    from say import say

    @pytest.mark.parametrize("number", range(8))
    def test_it(second, number):
        say("ran")
"""


@pytest.mark.parametrize("workers", ["0", "3"])
def test_set_up_once_torn_down_once(suite: Callable[..., Suite], workers: str) -> None:
    """Two shared fixtures are set up and torn down once each, last in first out."""
    ran = suite(conftest=TWO, test_many=MANY).run("-n", workers)
    assert ran.counts == {"passed": 8}, ran.out
    assert ran.lines == ["first up", "second up", *["ran"] * 8, "second down", "first down"]


def test_without_xdist_it_is_a_session_fixture(suite: Callable[..., Suite]) -> None:
    """Without pytest-xdist tests get the very value, which need not be picklable."""
    ran = suite(
        test_it="""
            from lastout.pytest_plugin import shared_fixture

            VALUE = lambda: open(__file__)

            @shared_fixture
            def value():
                yield VALUE

            def test_identity(value):
                assert value is VALUE
        """
    ).run()
    assert ran.counts == {"passed": 1}, ran.out


# Each of two workers gets one of the two tests, and they meet in the middle.
ACROSS = """
    import os, time
    import pytest
    from lastout.pytest_plugin import shared_fixture
    from say import say

    def wait_until(true):
        end = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end
            time.sleep(0.005)

    def meet(directory, name, other):
        (directory / name).touch()
        wait_until((directory / other).exists)

    def wait_until_other_waits():
        # For its turn to tear down: it has run all its tests.
        root = os.environ["LASTOUT_ROOT"]
        wait_until(lambda: any("waiting-gw" in name for *_, names in os.walk(root)
                               for name in names))

    @pytest.fixture(scope="session")
    def place(tmp_path_factory):
        return tmp_path_factory.getbasetemp().parent

    @shared_fixture
    def older(place):
        say("older up")
        yield os.getpid()
        say("older down", os.getpid())

    @shared_fixture
    def newer(place):
        say("newer up")
        yield os.getpid()
        say("newer down", os.getpid())
"""


@pytest.mark.parametrize("ends_first", ["older", "newer"])
def test_reverse_order_over_all_workers(suite: Callable[..., Suite], ends_first: str) -> None:
    """What one worker set up last goes first, whichever worker is through first."""
    ran = suite(
        conftest=ACROSS,
        test_it=f"""
            import os
            from conftest import meet, wait_until_other_waits

            def test_older(place, older):
                assert older == os.getpid()
                meet(place, "older-up", "newer-up")
                if "{ends_first}" == "newer":
                    wait_until_other_waits()

            def test_newer(place, request):
                meet(place, "newer-begins", "older-up")
                assert request.getfixturevalue("newer") == os.getpid()
                (place / "newer-up").touch()
                if "{ends_first}" == "older":
                    wait_until_other_waits()
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 2}, ran.out
    said = [line.split()[:2] for line in ran.lines]
    assert said == [["older", "up"], ["newer", "up"], ["newer", "down"], ["older", "down"]]
    pids = [line.split()[2] for line in ran.lines[2:]]
    assert len(set(pids)) == 2, "each is torn down where it was set up"


def test_what_it_depends_on_lives_longer(suite: Callable[..., Suite]) -> None:
    """A session fixture that a shared one asked for is torn down after it, in that worker."""
    ran = suite(
        conftest="""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @pytest.fixture(scope="session")
            def client():
                yield
                say("client down")

            @shared_fixture
            def server(client):
                yield 1
                say("server down")
        """,
        test_it="""
            def test_a(server): pass
            def test_b(): pass
            def test_c(): pass
            def test_d(): pass
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 4}, ran.out
    assert ran.lines.index("server down") < ran.lines.index("client down")


def test_one_worker_waits_for_the_tests_of_another(suite: Callable[..., Suite]) -> None:
    """A worker that is through does not tear down what another one still uses."""
    ran = suite(
        conftest=ACROSS,
        test_it="""
            from conftest import meet, wait_until_other_waits
            from say import say

            def test_short(place, older):
                (place / "up").touch()

            def test_long(place, request):
                meet(place, "x", "up")
                wait_until_other_waits()
                request.getfixturevalue("older")
                say("still used")
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 2}, ran.out
    assert [line.split()[1] for line in ran.lines] == ["up", "used", "down"]


def test_the_wait_is_not_the_fault_of_the_last_test(suite: Callable[..., Suite]) -> None:
    """pytest-timeout does not end a worker that waits for its turn to tear down."""
    ran = suite(
        conftest=ACROSS,
        test_it="""
            import time
            import pytest
            from conftest import meet, wait_until_other_waits

            @pytest.mark.timeout(4)  # enough to set it up on a machine that has much to do
            def test_short(place, older):
                (place / "up").touch()

            def test_long(place):
                meet(place, "x", "up")
                wait_until_other_waits()
                time.sleep(4.2)  # longer than the other one has
        """,
    ).run("-n2", "-p", "pytest_timeout")
    assert ran.counts == {"passed": 2}, ran.out
    assert len(ran.lines) == 2, ran.lines


def test_each_worker_gets_its_own_copy(suite: Callable[..., Suite]) -> None:
    """All workers get copies of the value, that which set it up as well; lambdas too."""
    ran = suite(
        conftest="""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value():
                made = {"double": lambda number: 2 * number}
                yield made
                say("its own", len(made))
        """,
        test_it="""
            import pytest

            @pytest.mark.parametrize("number", range(4))
            def test_it(value, number):
                assert value["double"](number) == 2 * number
                value["more"] = 1
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 4}, ran.out
    assert ran.lines == ["its own 1"]


def test_params_are_set_up_once_each(suite: Callable[..., Suite]) -> None:
    """Each parameter of a shared fixture is set up once, whichever worker asks."""
    ran = suite(
        conftest="""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture(params=["one", {"two": 2}], ids=["a", "b"])
            def value(request):
                say("up", request.param)
                yield request.param
                say("down", request.param)
        """,
        test_it="""
            import pytest

            @pytest.mark.parametrize("number", range(5))
            def test_it(value, number): pass

            @pytest.mark.parametrize("value", ["one", "three"], indirect=True)
            def test_indirect(value): pass
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 12}, ran.out
    ups = [line[3:] for line in ran.lines if line.startswith("up")]
    downs = [line[5:] for line in ran.lines if line.startswith("down")]
    assert sorted(ups) == ["one", "three", "{'two': 2}"]
    assert downs == ups[::-1]


def test_params_of_different_types(suite: Callable[..., Suite]) -> None:
    """Parameters that equal each other, such as 1 and True, are two if their types are."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture(params=[1, "between", True], ids=["a", "b", "c"])
            def value(request):
                say("up", request.param)
                return repr(request.param)
        """,
        test_it="""
            def test_it(value, request):
                assert value == {"a": "1", "b": "'between'", "c": "True"}[request.node.name[8:-1]]
        """,
    ).run("-n1")
    assert ran.counts == {"passed": 3}, ran.out
    assert ran.lines == ["up 1", "up between", "up True"]


def test_teardown_is_called_with_the_value(suite: Callable[..., Suite]) -> None:
    """`teardown=` is called once with the value, with pytest-xdist and without."""
    tests = {
        "conftest": """
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture(teardown=lambda value: say("down", value))
            def value():
                say("up")
                return "seven"
        """,
        "test_it": """
            import pytest

            @pytest.mark.parametrize("number", range(4))
            def test_it(value, number):
                assert value == "seven"
        """,
    }
    for workers in ("0", "2"):
        ran = suite(**tests).run("-n", workers)
        assert ran.counts == {"passed": 4}, ran.out
        assert ran.lines == ["up", "down seven"]


def test_two_of_one_name_are_two(suite: Callable[..., Suite]) -> None:
    """Two shared fixtures of one name, in two modules, are two; a test gets the nearer one."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value():
                yield "outer"
                say("outer down")
        """,
        test_inner="""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value(value):
                yield value + " inner"
                say("inner down")

            @pytest.mark.parametrize("number", range(3))
            def test_it(value, number):
                assert value == "outer inner"
        """,
        test_outer="""
            import pytest

            @pytest.mark.parametrize("number", range(3))
            def test_it(value, number):
                assert value == "outer"
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 6}, ran.out
    assert ran.lines == ["inner down", "outer down"]


def test_a_failing_teardown_is_an_error(suite: Callable[..., Suite]) -> None:
    """What tearing down raises is an error of the run; older ones are torn down all the same."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def older():
                yield
                say("older down")

            @shared_fixture
            def newer(older):
                yield
                raise OSError("did not stop")
        """,
        test_it="""
            def test_a(newer): pass
            def test_b(newer): pass
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 2, "error": 1}, ran.out
    assert "did not stop" in ran.out
    assert ran.status == 1
    assert ran.lines == ["older down"]


def test_the_run_has_a_scope(suite: Callable[..., Suite]) -> None:
    """`lastout_run` is one scope for all workers, cleaned when the run ends."""
    ran = suite(
        test_it="""
            import os
            import pytest
            from say import say

            @pytest.mark.parametrize("number", range(4))
            def test_it(lastout_run, number):
                directory = lastout_run.directory()
                say(lastout_run.name, directory)
        """
    ).run("-n2")
    assert ran.counts == {"passed": 4}, ran.out
    names, directories = zip(*map(str.split, ran.lines), strict=True)
    assert len(set(names)) == 1
    assert len(set(directories)) == 4
