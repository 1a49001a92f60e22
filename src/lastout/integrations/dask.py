"""dask.distributed: `worker` and `nanny` as plugins, which its workers begin and end with.

    client.register_plugin(worker(scope, initializer=..., finalizer=...))

    a worker closes, or is ended by SIGTERM    its finalizer runs, and it leaves the scopes
    its process is killed                      its nanny starts another one, which joins
                                               and cleans up after it

A worker may be a process, or a thread of the client's.  A scope is of one
machine: use this with clusters of one machine, or with one scope on each.
"""

from __future__ import annotations

import signal

from distributed import NannyPlugin, WorkerPlugin

from .. import Scope, handler, unregister
from .._exits.exit_handler import name_of
from .._exits.runner import call_within
from .._exits.unwinding import late
from ..deadline import check_seconds
from . import pools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def worker(
    *scopes: Scope,
    initializer: Callable[[], object] | None = None,
    finalizer: Callable[[], object] | None = None,
    timeout: float | None = None,
    signals: Iterable[int] = (signal.SIGTERM, signal.SIGHUP),
) -> WorkerPlugin:
    """Make a plugin for the workers; see `lastout.integrations.pools.worker`.

    A worker whose nanny is dead is ended by distributed itself, at once and without its
    finalizer.

    Args:
        scopes: each worker joins these, and cleans up after workers that were killed.
        initializer: called in each worker, also in those that come later.
        finalizer: called once when the worker closes or its process ends.  A nanny kills
            a worker that needs more than 4 seconds to close.
        timeout: seconds that the finalizer may take.  Where it overruns while the client
            waits, as in `unregister_worker_plugin`, that raises `HandlerTimeout`.
        signals: what ends a worker's process in order; left alone where it is a thread.

    Returns:
        What `Client.register_plugin` takes.

    Raises:
        TypeError, UsageError: as `lastout.integrations.pools.worker`.
    """
    begin = pools.worker(*scopes, initializer=initializer, signals=signals, outlive_parent=True)
    return _OfWorker(begin, finalizer, timeout)


def nanny(
    *scopes: Scope,
    initializer: Callable[[], object] | None = None,
    finalizer: Callable[[], object] | None = None,
    timeout: float | None = None,
) -> NannyPlugin:
    """Make a plugin for the nannies: what outlives a worker that is killed.

    A scope ends with its last member.  Where the client is not in it, or on another
    machine, the nannies keep it from ending between a worker and the next.

    Args:
        scopes: each nanny's process joins these.
        initializer: called in it when the plugin comes to a nanny.
        finalizer: called once when the nanny closes.
        timeout: seconds that the finalizer may take.

    Returns:
        What `Client.register_plugin` takes.

    Raises:
        TypeError, UsageError: as `worker`.
    """
    # A nanny's signals are those of the program that it runs in.
    begin = pools.worker(*scopes, initializer=initializer, signals=(), outlive_parent=True)
    return _OfNanny(begin, finalizer, timeout)


class _PluginLifetime:
    """The begin and the end of something that can close before its process ends."""

    def __init__(
        self,
        begin: pools.Worker,
        finalizer: Callable[[], object] | None,
        timeout: float | None,
    ) -> None:
        # Checked here, where they are given; registered here by each worker for itself.
        pools.worker(finalizer=finalizer, timeout=timeout)
        self._begin = begin
        self._finalizer = finalizer
        self._timeout = check_seconds(timeout, "timeout")

    def _set_up(self) -> None:
        self._begin()
        if self._finalizer is not None:
            handler(timeout=self._timeout)(self._end)

    def _tear_down(self) -> None:
        unregister(self._end)
        name = name_of(self._finalizer)
        if self._timeout is None:
            self._end()
        elif not call_within(self._end, self._timeout):
            raise late(name, self._timeout)

    def _end(self) -> None:
        finalizer, self._finalizer = self._finalizer, None
        if finalizer is not None:
            finalizer()


class _OfWorker(_PluginLifetime, WorkerPlugin):
    def setup(self, worker: object) -> None:  # noqa: ARG002  (dask gives it by name)
        """The plugin came to a worker."""
        self._set_up()

    def teardown(self, worker: object) -> None:  # noqa: ARG002
        """The worker closes, or the plugin is taken away."""
        self._tear_down()


class _OfNanny(_PluginLifetime, NannyPlugin):
    def setup(self, nanny: object) -> None:  # noqa: ARG002
        """The plugin came to a nanny."""
        self._set_up()

    def teardown(self, nanny: object) -> None:  # noqa: ARG002
        """The nanny closes, or the plugin is taken away."""
        self._tear_down()
