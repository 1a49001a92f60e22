"""Runs: what shared fixtures are in one process of a test run.

Plain    no pytest-xdist: session fixtures, and a scope for what they make
Worker   one of several processes that share them through a scope and its board
"""

from __future__ import annotations

import warnings
from functools import partial
from time import monotonic_ns

import pytest

from .. import pickling
from .._identity import Identity, comparable, new_token
from .._scopes.scope import Scope
from ..errors import CleanupWarning, UsageError
from .board import Board
from .ending import Ending
from .exits import outside
from .facts import FAILED, PREFIX, SETTING_UP, UP, State
from .halves import Halves
from .origins import ORIGINS
from .packing import FAILURES, copied, packed_error, unpacked_error
from .parameters import Parameters
from .standin import reap_all, stand_in_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .halves import Definition

_WAIT = 2.0  # seconds for processes that a test has just ended
_RUN = pytest.StashKey["Plain"]()


def run_of(request: pytest.FixtureRequest) -> Plain:
    """What this process is in its test run."""
    stash = request.config.stash
    if _RUN not in stash:
        stash[_RUN] = _make_run(request.session)
        request.config.pluginmanager.register(stash[_RUN])
    return stash[_RUN]


def _make_run(session: pytest.Session) -> Plain:
    workerinput = getattr(session.config, "workerinput", None)  # what pytest-xdist tells a worker
    if workerinput is None:
        return Plain(session)
    told = workerinput.get("lastout")
    if told is None or ORIGINS not in session.config.stash:
        raise UsageError(
            "pytest-xdist's main process, or this worker, has not loaded the plugin of lastout, so"
            " the workers cannot share fixtures; install lastout, or add `-p lastout.pytest_plugin`"
            " to the `addopts` of pytest"
        )
    controller = Identity(*told["controller"])
    # One on another machine cannot share anything with this one.
    here = comparable(controller)
    return Worker(session, told, controller, workerinput["workerid"]) if here else Plain(session)


class Plain:
    """A process that runs all tests by itself.

    Args:
        session: pytest's.
        root: the directory that scopes lie in; `None` for the usual one.
        name: the scope of the run; `None` for a new one.
    """

    def __init__(
        self, session: pytest.Session, root: str | None = None, name: str | None = None
    ) -> None:
        self._session = session
        self._root = root
        self._name = name or PREFIX + new_token()
        self._scope: Scope | None = None
        self._tidied = False

    def join(self) -> Scope:
        """The scope of the run, joined on first use, left when the session is torn down."""
        if self._scope is None:
            with outside():
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

        Should this process be killed, the controller knows it by that, or the next run.
        """
        self._tidy()
        return Scope(f"{self._name}-{new_token()}", root=self._root, wait=_WAIT)

    def _tidy(self) -> None:
        """Clean up after test runs of which every process was killed; once."""
        if not self._tidied:
            self._tidied = True
            for name, outcome in reap_all(self._root, PREFIX, self._name):
                assert outcome.failure is not None
                text = f"an earlier test run, {name!r}, left {outcome.name}"
                why = outcome.failure.exception
                warnings.warn(f"{text}: {why}", CleanupWarning, stacklevel=2)

    def leave(self) -> None:
        """Leave the scope, if it was joined.

        Raises:
            BaseExceptionGroup: what could not be cleaned.
        """
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.leave().raise_failures()

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Leave it now, if the session was not torn down in good order."""
        self.leave()

    def provide(
        self,
        definition: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Iterator[Any]:
        """The value of a shared fixture; then its end, as far as it has one here."""
        halves = Halves(definition)
        value = halves.set_up(args, kwargs)
        if definition.teardown is None:
            yield value
            halves.tear_down()
            return
        recorded = _record_teardown(definition, self.join(), value)
        yield value
        recorded.release()


class Worker(Plain):
    """A worker of pytest-xdist.

    Args:
        session: pytest's.
        told: what the controller told it.
        controller: who that is.
        name: what pytest-xdist calls this worker.
    """

    def __init__(
        self,
        session: pytest.Session,
        told: Mapping[str, Any],
        controller: Identity,
        name: str,
    ) -> None:
        super().__init__(session, told["root"], told["scope"])
        self._origins = session.config.stash[ORIGINS]
        self._controller = controller
        self._worker = name
        self._item: pytest.Item | None = None

    def _enter(self) -> Scope:
        scope = super()._enter()
        stand_in_for(self._controller, scope)
        self._board = Board(scope.path)
        self._parameters = Parameters(self._board, self._origins)
        self._token = scope._membership().token
        return scope

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Remember whose time limit runs when the session is torn down."""
        self._item = item

    def provide(
        self,
        definition: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Iterator[Any]:
        """A copy of the value, which may have been set up by another worker."""
        self.join()
        key = self._origins.key(self._parameters.known(definition))
        yield self._obtain(definition, key, args, kwargs)

    def _obtain(
        self, definition: Definition, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        board = self._board
        with board.locked(f"fixture-{key}"):
            state = board.state(key)
            if state is not None and state.status in (UP, FAILED):
                self._parameters.check(definition, state.asked, state.worker)
            if state is not None and state.status == FAILED:
                raise unpacked_error(board.value(key), state)
            if state is None or state.status != UP:
                if state is not None and state.status == SETTING_UP:
                    self._clear_remains(state)
                return self._set_up(definition, key, args, kwargs)
            return pickling.loads(board.value(key))

    def _set_up(
        self, definition: Definition, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        state = State(key, str(definition), self._worker, self._token, monotonic_ns())
        self._board.set_state(state)
        halves, recorded = Halves(definition), None
        try:
            value = halves.set_up(args, kwargs)
            pickled, copy = _copied_or_undone(definition, value, halves)
            if definition.teardown is not None:
                recorded = _record_teardown(definition, self.join(), value)
        except FAILURES as error:
            state.status, state.asked = FAILED, self._asked(definition)
            self._board.set_value(key, packed_error(error, state))
            self._board.set_state(state)
            raise
        state.status, state.made = UP, monotonic_ns()
        state.finishes, state.teardown = halves.to_be_finished, recorded is not None
        state.asked = self._asked(definition)
        self._board.set_value(key, pickled)
        self._board.set_state(state)
        if state.has_turn:
            finish = recorded.release if recorded else halves.tear_down
            ending = Ending(self.join(), self._board, self._controller, state, finish)
            self._session.addfinalizer(partial(self._end, ending))
        return copy

    def _asked(self, definition: Definition) -> dict[str, int | None]:
        return self._parameters.asked(definition, self._origins.seen())

    def _clear_remains(self, state: State) -> None:
        """Its worker was killed while it set it up: clean what it has made until then."""
        others = [
            (other.begun, other.made)
            for other in self._board.states()
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

    def _end(self, ending: Ending) -> None:
        """All tests of this worker have run: wait for its turn, then tear down."""
        cancel = getattr(self._session.config.hook, "pytest_timeout_cancel_timer", None)
        if cancel is not None and self._item is not None:
            cancel(item=self._item)  # this wait is no fault of the last test
        ending()


def _record_teardown(definition: Definition, scope: Scope, value: object) -> Any:
    assert definition.teardown is not None
    try:
        return scope.callback(definition.teardown, value)
    except BaseException:
        definition.teardown(value)
        raise


def _copied_or_undone(definition: Definition, value: object, halves: Halves) -> tuple[bytes, Any]:
    try:
        return copied(definition, value, "value")
    except BaseException:
        if definition.teardown is not None:
            definition.teardown(value)
        halves.tear_down()
        raise
