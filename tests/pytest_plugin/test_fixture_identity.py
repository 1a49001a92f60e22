"""Which shared fixture is meant: no worker gets the value of another one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.suites import Suite

FOUR = '@pytest.mark.parametrize("number", range(4))'


@pytest.mark.parametrize("options", [[], ["-n2"]])
def test_parameters_of_what_it_rests_on(suite: Callable[..., Suite], options: list[str]) -> None:
    """It is set up once for each parameter of the fixtures that it rests on, directly or not."""
    ran = suite(
        conftest="""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @pytest.fixture(scope="session", params=["sqlite", "postgres"])
            def backend(request):
                return request.param

            @pytest.fixture(scope="session")
            def driver(backend):
                return backend

            @shared_fixture(params=[1, 2])
            def db(driver, request):
                say("up", driver, request.param)
                yield f"{driver} {request.param}"
                say("down", driver, request.param)

            @shared_fixture
            def table(db):
                say("up table of", db)
                return "table of " + db
        """,
        test_it=f"""
            import pytest

            {FOUR}
            def test_it(table, db, backend, number, request):
                assert table == "table of " + db
                assert db == f"{{backend}} {{request.node.callspec.params['db']}}"
        """,
    ).run(*options)
    assert ran.counts == {"passed": 16}, ran.out
    if options:
        kinds = [f"{backend} {number}" for backend in ("sqlite", "postgres") for number in (1, 2)]
        said = [f"{word} {kind}" for kind in kinds for word in ("up", "up table of", "down")]
        assert Counter(ran.lines) == Counter(said)


def test_one_function_makes_many(suite: Callable[..., Suite]) -> None:
    """Fixtures that one function makes are told apart by their names, given or found."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture
            from say import say

            def make(value, name=None):
                @shared_fixture(name=name)
                def fixture():
                    say(value)
                    return value
                return fixture

            one, two = make("a", "a"), make("b", "b")
            c, d = make("c"), make("d")
        """,
        test_it=f"""
            import pytest

            {FOUR}
            def test_it(a, b, c, d, number):
                assert [a, b, c, d] == ["a", "b", "c", "d"]
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 4}, ran.out
    assert sorted(ran.lines) == ["a", "b", "c", "d"]


def test_a_class_that_others_derive_from(suite: Callable[..., Suite]) -> None:
    """A fixture of a base class is one for each class of tests that derives from it."""
    ran = suite(
        test_it=f"""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            class Base:
                @shared_fixture
                def value(self):
                    say(type(self).__name__)
                    return type(self).__name__

                {FOUR}
                def test_it(self, value, number):
                    assert value == type(self).__name__

            class TestOne(Base): pass
            class TestTwo(Base): pass
        """
    ).run("-n2", "-W", "ignore")
    assert ran.counts == {"passed": 8}, ran.out
    assert sorted(ran.lines) == ["TestOne", "TestTwo"]


def test_a_file_with_two_names(suite: Callable[..., Suite]) -> None:
    """The fixture of a module and of a link to its file are two, as these modules are."""
    ran = suite(
        conftest="""
            import os
            try:
                os.symlink("test_one.py", "test_two.py")
            except FileExistsError:
                pass  # by another process of this run
        """,
        test_one=f"""
            import pytest
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value():
                say(__name__)
                return __name__

            {FOUR}
            def test_it(value, number):
                assert value == __name__
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 8}, ran.out
    assert sorted(ran.lines) == ["test_one", "test_two"]


def test_another_one_in_the_place_of_what_it_rests_on(suite: Callable[..., Suite]) -> None:
    """Where a directory has another fixture for what it rests on, it is another one too."""
    tests = """
        def test_it(db, version):
            assert db == PLACE + version
    """
    ran = suite(
        **{
            "conftest": """
                import pytest
                from lastout.pytest_plugin import shared_fixture
                from say import say

                @pytest.fixture(scope="session", params=["3", "4"])
                def version(request):
                    return request.param

                @pytest.fixture(scope="session")
                def backend(version):
                    return "outer" + version

                @shared_fixture
                def db(backend):
                    say(backend)
                    return backend
            """,
            "inner/conftest": """
                import pytest

                @pytest.fixture(scope="session")
                def backend(backend):
                    return "inner, " + backend
            """,
            "inner/test_inner": tests.replace("PLACE", "'inner, outer'"),
            "test_outer": tests.replace("PLACE", "'outer'"),
        }
    ).run("-n2", "--dist=loadfile")
    assert ran.counts == {"passed": 4}, ran.out
    assert sorted(ran.lines) == ["inner, outer3", "inner, outer4", "outer3", "outer4"]


ASKING = """
    import pytest
    from lastout.pytest_plugin import shared_fixture
    from say import say

    @pytest.fixture(scope="session", params=["sqlite", "postgres"])
    def backend(request):
        return request.param

    @pytest.fixture(scope="session")
    def driver(request):
        return request.getfixturevalue("backend")

    @shared_fixture
    def db(driver):
        say("up", driver)
        return driver

    @shared_fixture
    def table(db):
        return "table of " + db
"""


@pytest.mark.parametrize("name", ["db", "table"])
def test_what_it_asks_for_in_the_middle(suite: Callable[..., Suite], name: str) -> None:
    """If it asked for another parameter by `getfixturevalue`, workers get an error, not a value."""
    ran = suite(
        conftest=ASKING,
        test_it=f"""
            def test_it(backend, {name}):
                assert {name}.endswith(backend)
        """,
    ).run("-n2")
    assert ran.counts == {"passed": 1, "error": 1}, ran.out
    assert "asks for 'backend' by getfixturevalue, and was set up by the worker gw" in ran.out
    assert len(ran.lines) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("[object(), object()]", "for 'backend', which does not equal a copy of itself"),
        ("[threading.Lock()]", "has a parameter of 'backend' behind it that cannot be pickled"),
    ],
)
def test_parameters_that_cannot_be_told_apart(
    suite: Callable[..., Suite], params: str, message: str
) -> None:
    """A parameter of what it rests on that workers cannot recognise is an error that says so."""
    ran = suite(
        conftest=f"""
            import threading
            import pytest
            from lastout.pytest_plugin import shared_fixture

            @pytest.fixture(scope="session", params={params})
            def backend(request):
                return 1

            @shared_fixture
            def db(backend):
                return 1
        """,
        test_it="def test_it(db): pass",
    ).run("-n2")
    assert "passed" not in ran.counts, ran.out
    assert "lastout.errors.UsageError: the shared fixture 'db' (conftest.py:10)" in ran.out
    assert message in ran.out
