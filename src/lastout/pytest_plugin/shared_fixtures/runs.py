"""Runs: how one process of a test run provides shared fixtures.

SingleProcessRun   no pytest-xdist: session fixtures, and a scope for their artifacts
XdistWorkerRun     one of several processes that share them, through a scope and the run state

Tested by: tests/pytest_plugin/test_shared.py, tests/pytest_plugin/test_crashes.py
"""

from __future__ import annotations

import warnings
from functools import partial
from time import monotonic_ns

import pytest

from ... import pickling
from ..._identity import Identity, comparable, new_token
from ..._scopes.scope import Scope
from ...errors import CleanupWarning, UsageError
from ...layout import PYTEST_RUN
from ..exits import registry_of_process
from .deferred_teardown import DeferredTeardown
from .fixture_identity import FIXTURE_IDENTITY
from .messages import FAILED, SETTING_UP, UP, FixtureState
from .packing import FAILURES, pickle_error, pickled_copy, unpickle_error
from .parameters import ParameterNumbers
from .placeholder_member import add_placeholder, reap_scopes
from .run_state import RunState
from .setup_teardown import SetupTeardown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .setup_teardown import FixtureDefinition

_WAIT = 2.0  # seconds for processes that a test has just ended
_RUN = pytest.StashKey["SingleProcessRun"]()


def run_of_session(request: pytest.FixtureRequest) -> SingleProcessRun:
    """The run of this process, made on first use."""
    stash = request.config.stash
    if _RUN not in stash:
        stash[_RUN] = _make_run(request.session)
        request.config.pluginmanager.register(stash[_RUN])
    return stash[_RUN]


def _make_run(session: pytest.Session) -> SingleProcessRun:
    workerinput = getattr(session.config, "workerinput", None)  # from pytest-xdist, in a worker
    if workerinput is None:
        return SingleProcessRun(session)
    told = workerinput.get("lastout")
    if told is None or FIXTURE_IDENTITY not in session.config.stash:
        raise UsageError(
            "pytest-xdist's main process, or this worker, has not loaded the plugin of lastout, so"
            " the workers cannot share fixtures; install lastout, or add `-p lastout.pytest_plugin`"
            " to the `addopts` of pytest"
        )
    controller = Identity(*told["controller"])
    # A controller on another machine cannot share anything with this process.
    here = comparable(controller)
    return (
        XdistWorkerRun(session, told, controller, workerinput["workerid"])
        if here
        else SingleProcessRun(session)
    )


class SingleProcessRun:
    """A process that runs all tests by itself.

    Args:
        session: the session of pytest.
        root: the directory that scopes lie in; `None` for the usual directory.
        name: the scope of the run; `None` for a new scope.
    """

    def __init__(
        self, session: pytest.Session, root: str | None = None, name: str | None = None
    ) -> None:
        self._session = session
        self._root = root
        self._name = name or PYTEST_RUN + new_token()
        self._scope: Scope | None = None
        self._tidied = False

    def join(self) -> Scope:
        """The scope of the run, joined on first use, left when the session is torn down."""
        if self._scope is None:
            with registry_of_process():
                self._scope = self._enter()
            self._session.addfinalizer(self.leave)
        return self._scope

    def _enter(self) -> Scope:
        self._tidy()
        return Scope(self._name, root=self._root, guardian=self._is_guarded())

    def _is_guarded(self) -> bool:
        config = self._session.config
        plugin_is_loaded = config.pluginmanager.hasplugin("lastout.pytest_plugin")
        return plugin_is_loaded and bool(
            config.getoption("lastout_guardian") or config.getini("lastout_guardian")
        )

    def scope_of_test(self) -> Scope:
        """A new scope, whose name says to which run it belongs.

        By that name the controller, or the next run, recognizes it if this process is killed.
        """
        self._tidy()
        return Scope(f"{self._name}-{new_token()}", root=self._root, wait=_WAIT)

    def _tidy(self) -> None:
        """Clean up, once, after test runs of which every process was killed."""
        if not self._tidied:
            self._tidied = True
            for name, outcome in reap_scopes(self._root, PYTEST_RUN, self._name):
                assert outcome.failure is not None
                text = f"an earlier test run, {name!r}, left {outcome.name}"
                why = outcome.failure.exception
                warnings.warn(f"{text}: {why}", CleanupWarning, stacklevel=2)

    def leave(self) -> None:
        """Leave the scope, if it was joined.

        Raises:
            BaseExceptionGroup: the failed cleanups.
        """
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.leave().raise_failures()

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Leave the scope now, if the session was not torn down in good order."""
        self.leave()

    def provide(
        self,
        definition: FixtureDefinition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Iterator[Any]:
        """The value of a shared fixture; then its end, as far as it has one here."""
        setup_teardown = SetupTeardown(definition)
        value = setup_teardown.set_up(args, kwargs)
        if definition.teardown is None:
            yield value
            setup_teardown.tear_down()
            return
        recorded = _record_teardown(definition, self.join(), value)
        yield value
        recorded.release()


class XdistWorkerRun(SingleProcessRun):
    """A worker of pytest-xdist.

    Args:
        session: the session of pytest.
        told: the data from the controller.
        controller: the identity of the controller.
        name: pytest-xdist's name of this worker.
    """

    def __init__(
        self,
        session: pytest.Session,
        told: Mapping[str, Any],
        controller: Identity,
        name: str,
    ) -> None:
        super().__init__(session, told["root"], told["scope"])
        self._fixture_identity = session.config.stash[FIXTURE_IDENTITY]
        self._controller = controller
        self._worker = name
        self._item: pytest.Item | None = None

    def _enter(self) -> Scope:
        scope = super()._enter()
        add_placeholder(self._controller, scope)
        self._run_state = RunState(scope.path)
        self._parameters = ParameterNumbers(self._run_state, self._fixture_identity)
        self._token = scope._membership().token
        return scope

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Remember the test whose time limit runs when the session is torn down."""
        self._item = item

    def provide(
        self,
        definition: FixtureDefinition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Iterator[Any]:
        """Yield a copy of the value, which another worker may have set up."""
        self.join()
        key = self._fixture_identity.key(self._parameters.known(definition))
        yield self._obtain(definition, key, args, kwargs)

    def _obtain(
        self, definition: FixtureDefinition, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        run_state = self._run_state
        with run_state.locked(f"fixture-{key}"):
            state = run_state.state(key)
            if state is not None and state.status in (UP, FAILED):
                self._parameters.check(definition, state.asked, state.worker)
            if state is not None and state.status == FAILED:
                raise unpickle_error(run_state.value(key), state)
            if state is None or state.status != UP:
                if state is not None and state.status == SETTING_UP:
                    self._clear_remains(state)
                return self._set_up(definition, key, args, kwargs)
            return pickling.loads(run_state.value(key))

    def _set_up(
        self, definition: FixtureDefinition, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        state = FixtureState(key, str(definition), self._worker, self._token, monotonic_ns())
        self._run_state.set_state(state)
        setup_teardown, recorded = SetupTeardown(definition), None
        try:
            value = setup_teardown.set_up(args, kwargs)
            pickled, copy = _copied_or_undone(definition, value, setup_teardown)
            if definition.teardown is not None:
                recorded = _record_teardown(definition, self.join(), value)
        except FAILURES as error:
            state.status, state.asked = FAILED, self._asked(definition)
            self._run_state.set_value(key, pickle_error(error, state))
            self._run_state.set_state(state)
            raise
        state.status, state.made = UP, monotonic_ns()
        state.finishes, state.teardown = setup_teardown.to_be_finished, recorded is not None
        state.asked = self._asked(definition)
        self._run_state.set_value(key, pickled)
        self._run_state.set_state(state)
        if state.has_turn:
            finish = recorded.release if recorded else setup_teardown.tear_down
            deferred_teardown = DeferredTeardown(
                self.join(), self._run_state, self._controller, state, finish
            )
            self._session.addfinalizer(partial(self._end, deferred_teardown))
        return copy

    def _asked(self, definition: FixtureDefinition) -> dict[str, int | None]:
        return self._parameters.asked(definition, self._fixture_identity.seen())

    def _clear_remains(self, state: FixtureState) -> None:
        """Clean the artifacts of a worker that was killed while it set the fixture up."""
        others = [
            (other.begun, other.made)
            for other in self._run_state.states()
            if other.member == state.member and other.made
        ]
        for artifact in reversed(self.join().artifacts()):
            mine = artifact.member == state.member and artifact.made_ns > state.begun
            if mine and not any(begun < artifact.made_ns < made for begun, made in others):
                try:
                    artifact.release()
                except Exception as error:
                    text = f"left by a worker that was killed while it set up {state.fixture}"
                    warnings.warn(f"{text}: {artifact!r}: {error}", CleanupWarning, stacklevel=1)

    def _end(self, deferred_teardown: DeferredTeardown) -> None:
        """Wait for this worker's turn after its last test, then tear down."""
        cancel = getattr(self._session.config.hook, "pytest_timeout_cancel_timer", None)
        if cancel is not None and self._item is not None:
            cancel(item=self._item)  # because the wait is not the last test's fault
        deferred_teardown()


def _record_teardown(definition: FixtureDefinition, scope: Scope, value: object) -> Any:
    assert definition.teardown is not None
    try:
        return scope.callback(definition.teardown, value)
    except BaseException:
        definition.teardown(value)
        raise


def _copied_or_undone(
    definition: FixtureDefinition, value: object, setup_teardown: SetupTeardown
) -> tuple[bytes, Any]:
    try:
        return pickled_copy(definition, value, "value")
    except BaseException:
        if definition.teardown is not None:
            definition.teardown(value)
        setup_teardown.tear_down()
        raise
