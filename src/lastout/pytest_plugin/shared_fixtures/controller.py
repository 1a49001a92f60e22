"""Controller: the main process of pytest-xdist, which alone knows all workers.

The controller joins the scope of the run as soon as it exists, writes the list of workers
into the run state, and leaves last.  If no fixture is shared it never joins, and loads
nothing of scopes.

Tested by: tests/pytest_plugin/test_crashes.py, tests/pytest_plugin/test_faults.py
"""

from __future__ import annotations

import os

import pytest

from ..._identity import here, new_token
from ...backends.root import find_root
from ...layout import PYTEST_RUN
from .messages import UP, WorkersState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, Final

    from ..._scopes.scope import Scope
    from ...report import Outcome
    from .run_state import RunState

_WAIT: Final = 5.0  # seconds for workers that xdist has just ended


class XdistController:
    """The part of this plugin for the main process of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._most_crashes = _most_crashes(config)
        self._root, self._name = find_root(None), PYTEST_RUN + new_token()
        self._path = os.path.join(self._root, self._name)
        self._workers = WorkersState()
        self._crashes = 0
        self._scope: Scope | None = None
        self._run_state: RunState
        self._notes: list[str] = []
        self._unclean: list[Outcome] = []

    # Hooks of xdist.

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker that is about to be started where to meet."""
        node.workerinput["lastout"] = {
            "root": self._root,
            "scope": self._name,
            "controller": here().as_tuple(),
        }
        self._workers.announced.append(node.gateway.id)
        self._workers.awaited = max(0, self._workers.awaited - 1)
        self._tell()
        if self._crashes:
            self._clean_after_tests()  # before its tests need the same ports and paths

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Record that a worker has finished, or crashed, and then may be replaced."""
        self._workers.down.append(node.gateway.id)
        if error:
            self._crashes += 1
            if self._most_crashes is None or self._crashes <= self._most_crashes:
                self._workers.awaited += 1
        self._tell()

    @pytest.hookimpl
    def pytest_runtest_logreport(self) -> None:
        """Join the scope if a test was the first to share a fixture."""
        if self._scope is None and os.path.isdir(self._path):
            self._tell()

    def _tell(self) -> None:
        if self._scope is None and os.path.isdir(self._path):
            from .placeholder_member import replace_placeholder
            from .run_state import RunState

            self._scope = replace_placeholder(self._root, self._name, _WAIT)
            self._run_state = RunState(self._scope.path)
        if self._scope is not None:
            self._run_state.set_workers(self._workers)

    # The end.

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Wait for the workers, because no more tests will run, and leave after them."""
        self._workers.over = True
        self._tell()
        try:
            return (yield)  # xdist ends the workers
        finally:
            self._tell()
            self._clean_after_tests()
            if self._scope is not None:
                self._leave(self._scope)
            if self._unclean and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _clean_after_tests(self) -> None:
        """Clean the scopes of single tests whose worker was killed."""
        prefix = self._name + "-"
        if any(name.startswith(prefix) for name in _names_in(self._root)):
            from .placeholder_member import reap_scopes

            self._unclean += [outcome for _, outcome in reap_scopes(self._root, prefix)]

    def _leave(self, scope: Scope) -> None:
        self._notes += [
            f"{state.fixture}: what stands behind its `yield` did not run, for the worker"
            f" {state.worker} that set it up was killed"
            for state in self._run_state.states()
            if state.finishes and state.status == UP
        ]
        unclean = [outcome for outcome in scope.leave() if outcome.failure]
        self._unclean += unclean
        if not unclean and os.path.isdir(self._path):
            self._notes.append(
                f"processes that tests have started are still in the scope {self._path!r}, which"
                " is cleaned when they end"
            )

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the problems of the run."""
        unclean = {(one.name, str(one.failure and one.failure.exception)) for one in self._unclean}
        lines = [*self._notes, *(f"not cleaned: {name}: {why}" for name, why in sorted(unclean))]
        if lines:
            terminalreporter.section("shared fixtures and scopes")
        for line in lines:
            terminalreporter.line(line)


def _names_in(root: str) -> list[str]:
    try:
        return os.listdir(root)
    except FileNotFoundError:
        return []


def _most_crashes(config: pytest.Config) -> int | None:
    """After how many crashes xdist replaces no worker any more; `None` for no limit."""
    given = config.getoption("maxworkerrestart", None)
    if given is not None:
        return int(given)
    workers = config.getoption("numprocesses", None)
    return 4 * workers if workers else None
