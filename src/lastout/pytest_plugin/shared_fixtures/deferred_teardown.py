"""Deferred teardown: workers tear down shared fixtures in reverse order over all workers.

A worker whose tests have all run does not end yet if it has set up a shared fixture.
It waits until

    every other worker is down, or waits like this worker  no worker uses a fixture
    no crashed worker is about to be replaced              no worker will
    no newer fixture of any worker is still up             last in, first out

and then tears it down.  When the whole run is cut short, xdist gives the workers ten
seconds, and sends them a SIGINT in the middle of it; so a worker waits no longer than
`_HURRY`, and the first SIGINT does not interrupt a teardown.

Tested by: tests/pytest_plugin/test_crashes.py, tests/pytest_plugin/test_faults.py
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from time import monotonic, sleep

from ..._identity import is_running
from .messages import GONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Final

    from ..._identity import Identity
    from ..._scopes.scope import Scope
    from .messages import FixtureState, WorkersState
    from .run_state import RunState

_HURRY: Final = 2.0
# The controller joins at the first report, and replaces a crashed worker at once.  For so long
# this worker expects that it will.
_PATIENCE: Final = 30.0

_FIRST_LOOK: Final = 0.005
_LONGEST_LOOK: Final = 0.05


class DeferredTeardown:
    """The teardown of one shared fixture, by the worker that set it up, once it is not needed.

    Args:
        scope: the scope of the run.
        run_state: the run state.
        controller: the main process of the run.
        state: the state of the fixture.
        finish: tears the fixture down.
    """

    def __init__(
        self,
        scope: Scope,
        run_state: RunState,
        controller: Identity,
        state: FixtureState,
        finish: Callable[[], object],
    ) -> None:
        self._scope = scope
        self._run_state = run_state
        self._controller = controller
        self._state = state
        self._finish = finish
        self._pid = os.getpid()
        self._last_call = float("inf")

    def __call__(self) -> None:
        """Wait, and tear down; Ctrl-C shortens the wait, and is raised after the teardown.

        Raises:
            BaseException: the teardown raised it.
        """
        if os.getpid() != self._pid:
            return  # in a forked child that returned from its test
        interrupted = self._wait()
        with _first_interrupt_ignored(self._last_call < float("inf")):
            self._tear_down()
        if interrupted:
            raise interrupted

    def _wait(self) -> KeyboardInterrupt | None:
        interrupted = None
        self._began = monotonic()
        with self._run_state.waits(self._state.worker, self._state.member):
            while True:
                try:
                    self._look_until_it_is_time()
                    return interrupted
                except KeyboardInterrupt as error:
                    interrupted = error
                    self._hurry()

    def _look_until_it_is_time(self) -> None:
        # By looks, because other workers write files, which are no events.
        pause = _FIRST_LOOK
        while not self._is_time() and monotonic() < self._last_call:
            sleep(pause)
            pause = min(pause * 2, _LONGEST_LOOK)

    def _hurry(self) -> None:
        self._last_call = min(self._last_call, monotonic() + _HURRY)

    def _is_time(self) -> bool:
        living = {member.token: member.pid for member in self._scope.members() if member.alive}
        newer = [state for state in self._run_state.states() if state.made > self._state.made]
        if any(state.has_turn and state.member in living for state in newer):
            return False
        # In this order, because a worker that stops waiting says so before it tears down.
        waiting = self._run_state.waiting()
        workers = self._run_state.workers()
        if is_running(self._controller) and not (workers and workers.over):
            return self._all_through(workers, waiting)
        self._hurry()
        still_there = living.keys() - set(waiting.values())
        return all(living[token] == self._controller.pid for token in still_there)

    def _all_through(self, workers: WorkersState | None, waiting: dict[str, str]) -> bool:
        if workers is None or workers.awaited:
            return monotonic() - self._began > _PATIENCE
        return all(name in waiting or name in workers.down for name in workers.announced)

    def _tear_down(self) -> None:
        problems: list[BaseException] = []
        with self._run_state.locked(f"fixture-{self._state.key}"):
            self._release_newer(problems)
            try:
                self._finish()
            except BaseException as error:
                problems.append(error)
            finally:
                self._state.status = GONE
                self._run_state.set_state(self._state)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise BaseExceptionGroup(f"while {self._state.fixture} was torn down", problems)

    def _release_newer(self, problems: list[BaseException]) -> None:
        """Release newer artifacts of the run first, for example fixtures of killed workers."""
        for artifact in reversed(self._scope.artifacts()):
            if artifact.made_ns > self._state.made and artifact.lifetime == "scope":
                try:
                    artifact.release()
                except Exception as error:
                    problems.append(error)


@contextmanager
def _first_interrupt_ignored(wanted: bool) -> Iterator[None]:
    """Ignore the first SIGINT in the block, because xdist may have sent it, not the user."""
    here = threading.current_thread() is threading.main_thread()
    if not (wanted and here) or signal.getsignal(signal.SIGINT) is None:
        yield
        return

    def ignore(_signum: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, former)

    former = signal.signal(signal.SIGINT, ignore)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
