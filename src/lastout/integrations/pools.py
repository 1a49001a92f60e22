"""Pools: the start and the end of a worker, both by the `initializer=` of the pool.

A pool calls its initializer in each worker, and has no hook for a worker's end.
`worker` makes an initializer that sets up the end as well:

    signals, scopes  -->  initializer(*initargs)  -->  jobs  -->  finalizer()  -->  leave

Tested by: tests/integrations/test_pools.py
"""

from __future__ import annotations

import os
import pickle
import signal
import sys

from .. import Scope, handle_signals, handler, reap
from .._platform import in_main_interpreter
from .._platform.genuine import in_main_thread
from .._platform.imports import load
from ..deadline import check_seconds
from ..errors import UsageError
from .orphans import end_with_starter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def worker(
    *scopes: Scope,
    initializer: Callable[..., object] | None = None,
    finalizer: Callable[[], object] | None = None,
    timeout: float | None = None,
    signals: Iterable[int] = (signal.SIGTERM, signal.SIGHUP),
    outlive_parent: bool = False,
) -> Worker:
    """Make an initializer for the workers of a pool that handles their end as well.

    For every pool that takes `initializer=`, and for the `worker_init_fn=` of a
    DataLoader::

        with Pool(4, worker(scope, initializer=connect, finalizer=disconnect), (url,)) as pool:
            ...

    Args:
        scopes: each worker joins these, until it ends, and thereby cleans up after workers
            that were killed; `current_scope()` in a job is the last of them.
        initializer: called first, with the arguments that the pool gives (`initargs=`).
        finalizer: called once in each worker at its end, without arguments, before all
            exit handlers that were registered earlier; not if `initializer` raised.  If
            workers are threads of one process, it is called once for each of them when
            that process ends, not when the pool does.
        timeout: seconds that the finalizer may take.
        signals: the signals that end a worker in order; none for an empty tuple.  Not
            handled if the worker is a thread or a subinterpreter.
        outlive_parent: whether a worker goes on when the process that started it is
            dead.  Otherwise it is sent SIGTERM.

    Returns:
        An initializer for the pool; it can be pickled if its functions can.

    Raises:
        TypeError: an argument is not a scope, not callable, or no number of seconds.
        UsageError: this process has left one of the scopes, or `timeout` is negative.

    >>> from concurrent.futures import ProcessPoolExecutor
    >>> with ProcessPoolExecutor(1, initializer=worker(finalizer=print)) as pool:
    ...     pool.submit(abs, -1).result()
    1
    """
    return Worker(scopes, initializer, finalizer, timeout, tuple(signals), outlive_parent)


class Worker:
    """The initializer made by `worker`, which sets a worker up and registers its end."""

    def __init__(
        self,
        scopes: Iterable[Scope] = (),
        initializer: Callable[..., object] | None = None,
        finalizer: Callable[[], object] | None = None,
        timeout: float | None = None,
        signals: tuple[int, ...] = (),
        outlive_parent: bool = False,
    ) -> None:
        checked = [_check_scope(scope) for scope in scopes]
        self._joins = [_Joining(one) if outlive_parent else one.worker for one in checked]
        self._initializer = _check_callable(initializer, "initializer")
        self.finalizer = _check_callable(finalizer, "finalizer")
        self._timeout = check_seconds(timeout, "timeout")
        if timeout is not None and finalizer is None:
            raise UsageError("timeout= is the finalizer's, and there is none; give finalizer=")
        self._signals = signals
        self._outlive_parent = outlive_parent

    def __call__(self, *args: object) -> None:
        """Set up the worker in which the pool calls this."""
        # In a thread or a subinterpreter the program, not the worker, decides about signals.
        if in_main_thread() and in_main_interpreter():
            if self._signals:
                handle_signals(*self._signals)
            if not self._outlive_parent and end_with_starter():
                for join in self._joins:
                    join.terminates_itself = True
            if "billiard.process" in sys.modules:
                load("lastout.integrations.billiard").run_handlers_at_exit()
        for join in self._joins:
            join()
        if self._initializer is not None:
            self._initializer(*args)
        if self.finalizer is not None:
            handler(timeout=self._timeout)(self.finalizer)


class _Joining:
    """Joins a scope as a member that stays when the process that made this ends."""

    terminates_itself = False

    def __init__(self, scope: Scope) -> None:
        self._place = os.path.split(scope.path)
        self._pickled = pickle.dumps(scope)

    def __call__(self) -> None:
        member = pickle.loads(self._pickled)._membership()
        member.workers.outlive_parent(member.journal)
        reap(*self._place)  # a forked process is a member already, so joining did not clean


def _check_scope(scope: object) -> Scope:
    if not isinstance(scope, Scope):
        raise TypeError(f"a worker joins scopes, not {scope!r}; write worker(initializer=...)")
    return scope


def _check_callable(func: Callable[..., object] | None, what: str) -> Callable[..., object] | None:
    if func is not None and not callable(func):
        raise TypeError(f"{what} must be callable, not {func!r}")
    return func
