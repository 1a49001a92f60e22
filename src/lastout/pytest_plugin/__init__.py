"""The pytest plugin: shared fixtures, scopes for tests, and a leak report.

shared_fixture     set up once for all workers of pytest-xdist   shared_fixtures/ decorator, runs
                   which fixture is the same for all of them     fixture_identity
lastout_run        the scope that they share                     controller
lastout_scope      a scope for one test
exit_registry      exit handlers that run at the end of a test   exits
--lastout-leaks    things that a test leaves behind              leaks/ detector

Every test run loads this plugin if lastout is installed, so it loads next to nothing
before a test asks for it.

Tested by: tests/pytest_plugin/test_loading.py, tests/pytest_plugin/test_bad_input.py
"""

from __future__ import annotations

import pytest

from .shared_fixtures.decorator import shared_fixture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import Scope
    from .exits import ExitRegistry

__all__ = ["shared_fixture"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of lastout, for the command line and the configuration file."""
    what = "processes, temporary directories, shared memory and scopes that a test left behind"
    group = parser.getgroup("lastout")
    group.addoption("--lastout-leaks", choices=["off", "warn", "error"], help=f"look for {what}")
    guarded = "give the scope of the run a guardian, which cleans even if all processes are killed"
    group.addoption("--lastout-guardian", action="store_true", help=guarded)
    parser.addini("lastout_guardian", guarded, type="bool", default=False)
    parser.addini("lastout_leaks", f"off, warn or error: look for {what}", default="off")


def pytest_configure(config: pytest.Config) -> None:
    """Look for leaks, if an option says so; in a worker of pytest-xdist, follow its fixtures."""
    if hasattr(config, "workerinput"):
        from .shared_fixtures.fixture_identity import FIXTURE_IDENTITY, FixtureIdentity

        config.stash[FIXTURE_IDENTITY] = FixtureIdentity()
        config.pluginmanager.register(config.stash[FIXTURE_IDENTITY])
    config.addinivalue_line(
        "markers",
        "lastout_may_leave(*kinds): what --lastout-leaks lets the test leave: 'process',"
        " 'temporary directory', 'shared memory' or 'scope'",
    )
    mode = config.getoption("lastout_leaks") or config.getini("lastout_leaks")
    if mode not in ("off", "warn", "error"):
        raise pytest.UsageError(f"lastout_leaks must be off, warn or error, not {mode!r}")
    if mode != "off":
        from .leaks.detector import LeakDetector

        config.pluginmanager.register(LeakDetector(error=mode == "error"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """In the main process of pytest-xdist, which is about to start workers, be its controller."""
    from .shared_fixtures.controller import XdistController

    config.pluginmanager.register(XdistController(config))


@pytest.fixture(scope="session")
def lastout_run(request: pytest.FixtureRequest) -> Scope:
    """The scope of this test run, with all workers in it; the last member to leave cleans it."""
    from .shared_fixtures.runs import run_of_session

    return run_of_session(request).join()


@pytest.fixture
def lastout_scope(request: pytest.FixtureRequest) -> Iterator[Scope]:
    """A scope for this test, whose artifacts are cleaned when the test ends.

    An artifact that cannot be cleaned is an error of the test.  If the worker is killed,
    the main process cleans; if that is killed too, the next run does.
    """
    from .shared_fixtures.runs import run_of_session

    scope = run_of_session(request).scope_of_test()
    try:
        yield scope
    finally:
        scope.leave().raise_failures()


@pytest.fixture
def exit_registry() -> Iterator[ExitRegistry]:
    """A registry of exit handlers for this test; they run at its end.

    It has the functions of `lastout`.  While the test runs, the functions of `lastout`
    itself act on it too, so that code which registers there can be tested::

        def test_close(exit_registry):
            connection = connect()            # calls lastout.register(self.close)
            assert exit_registry.unwind().ok  # as at the end of the process
            assert connection.closed

    An exception of a handler at the end of the test is an error of the test.
    """
    from .exits import isolated_registry

    with isolated_registry() as registry:
        yield registry
