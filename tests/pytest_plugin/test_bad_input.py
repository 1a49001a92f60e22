"""Shared fixtures that cannot be: clear errors, and nothing is left behind."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from lastout import LastoutError, UsageError
from lastout.pytest_plugin import shared_fixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.suites import Suite

TESTS = """
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_it(value, number): pass
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "yield threading.Lock(); say('down')",
            "'value' (conftest.py:6) has a value that cannot be pickled for the other workers"
            " (TypeError: cannot pickle '_thread.lock': a copy would not be the same one); share",
        ),
        ("if False: yield", "'value' (conftest.py:6) ended without a `yield`; it has to yield"),
    ],
)
def test_no_value(suite: Callable[..., Suite], body: str, message: str) -> None:
    """A value that cannot be pickled, or none, is an error of all tests that names the fixture."""
    ran = suite(
        conftest=f"""
            import threading
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value():
                say("up")
                {body}
        """,
        test_it=TESTS,
    ).run("-n2")
    assert ran.counts == {"errors": 4}, ran.out
    assert message in ran.out
    assert "lastout.errors.UsageError" in ran.out
    assert ran.lines in (["up"], ["up", "down"])
    assert ("down" in ran.lines) == ("Lock" in body), "what was set up is torn down"


@pytest.mark.parametrize("options", [[], ["-n2"]])
def test_two_yields(suite: Callable[..., Suite], options: list[str]) -> None:
    """A second `yield` is an error at the end that names the fixture."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture

            @shared_fixture
            def value():
                yield 1
                yield 2
        """,
        test_it=TESTS,
    ).run(*options)
    assert ran.counts == {"passed": 4, "error": 1}, ran.out
    assert "'value' (conftest.py:4) yields more than once" in ran.out


def test_it_depends_on_a_fixture_of_one_test(suite: Callable[..., Suite]) -> None:
    """A shared fixture that asks for a function-scoped one is refused before it is set up."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def value(tmp_path):
                say("up")
        """,
        test_it=TESTS,
    ).run("-n2")
    assert ran.counts == {"errors": 4}, ran.out
    assert "ScopeMismatch" in ran.out
    assert "tmp_path" in ran.out
    assert ran.lines == []


def test_a_parameter_that_does_not_equal_its_copy(suite: Callable[..., Suite]) -> None:
    """A parameter that workers cannot recognise is an error that says so."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture

            @shared_fixture(params=[object()], ids=["odd"])
            def value(request):
                return 1
        """,
        test_it=TESTS,
    ).run("-n2")
    assert ran.counts == {"errors": 4}, ran.out
    assert "which does not equal a copy of itself" in ran.out


def test_a_teardown_that_cannot_be_pickled(suite: Callable[..., Suite]) -> None:
    """A value that `teardown` cannot be called with elsewhere is torn down and refused."""
    ran = suite(
        conftest="""
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture(teardown=lambda value: say("down"))
            def value():
                return (number for number in range(3))
        """,
        test_it=TESTS,
    ).run()
    assert ran.counts == {"errors": 4}, ran.out
    assert "can neither be imported by another process nor pickled" in ran.out
    assert ran.lines == ["down"]


async def coroutine() -> None: ...


def generator() -> object:
    yield


@pytest.mark.parametrize(
    ("decorate", "what", "error"),
    [
        (shared_fixture, coroutine, UsageError),
        (shared_fixture(teardown=print), generator, UsageError),
        (shared_fixture, partial(print), TypeError),
        (shared_fixture(teardown=3), len, TypeError),  # type: ignore[call-overload]
    ],
)
def test_refused_when_it_is_declared(
    decorate: Callable[..., object], what: object, error: type[Exception]
) -> None:
    """A coroutine, a generator with a `teardown`, and what is no function are refused at once."""
    with pytest.raises(error) as caught:
        decorate(what)
    assert isinstance(caught.value, LastoutError) == (error is UsageError)
