"""Deferred teardown: when a worker tears down what it set up, in reverse order over all workers.

A worker whose tests have all run does not end yet if it has set something up.
It waits until

    every other worker is down, or waits like this one     nobody uses anything
    no crashed worker is about to be replaced              nobody will
    nothing newer is still up, whoever set that up         last in, first out

and then finishes it.  When the whole run is cut short, the workers have ten
seconds from xdist, which sends them a SIGINT in the middle of it; so nobody is
waited for longer than `_HURRY`, and tearing down is not interrupted the first time.

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
# The controller joins when the first report comes, and starts a new worker at
# once; so long it is believed to be about to.
_PATIENCE: Final = 30.0

_FIRST_LOOK: Final = 0.005
_LONGEST_LOOK: Final = 0.05


class DeferredTeardown:
    """The teardown of one shared fixture, by the worker that set it up, when nobody needs it.

    Args:
        scope: that of the run.
        run_state: what its processes tell each other.
        controller: the main process of the run.
        state: what the others know of the fixture.
        finish: tears it down.
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
        """Wait, and tear down; Ctrl-C makes it hurry, and is raised after that.

        Raises:
            BaseException: what tearing down raised.
        """
        if os.getpid() != self._pid:
            return  # a forked child that came out of its test
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
        # Other workers tell by files, which wake nobody: so look again.
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
        # In this order: whoever waits no more has said so before it tears down.
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
        """What the run has made since goes first: what killed workers have set up, for one."""
        for artifact in reversed(self._scope.artifacts()):
            if artifact.made_ns > self._state.made and artifact.lifetime == "scope":
                try:
                    artifact.release()
                except Exception as error:
                    problems.append(error)


@contextmanager
def _first_interrupt_ignored(wanted: bool) -> Iterator[None]:
    """For the block, only the second SIGINT raises: the first may be xdist's, not the user's."""
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
