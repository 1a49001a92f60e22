"""dask.distributed: the plugins `worker` and `nanny`, for the begin and the end of its workers.

    client.register_plugin(worker(scope, initializer=..., finalizer=...))

    a worker closes, or is ended by SIGTERM    its finalizer runs, and it leaves the scopes
    its process is killed                      its nanny starts a new worker, which joins
                                               and cleans up after it

A worker may be a process, or a thread of the client's.  A scope belongs to one
machine: use this with clusters of one machine, or with one scope on each machine.

Tested by: tests/integrations/test_dask.py
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
        initializer: called in each worker, even if it joins the cluster later.
        finalizer: called once when the worker closes or its process ends.  A nanny kills
            a worker that needs more than 4 seconds to close.
        timeout: seconds that the finalizer may take.  If it takes longer while the client
            waits, as in `unregister_worker_plugin`, that call raises `HandlerTimeout`.
        signals: the signals that end a worker's process in order; not handled in a thread.

    Returns:
        A plugin for `Client.register_plugin`.

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
    """Make a plugin for the nannies, which outlive a worker that is killed.

    A scope ends with its last member.  If the client is not a member, or runs on another
    machine, the nannies keep the scope from ending between a worker and the next.

    Args:
        scopes: each nanny's process joins these.
        initializer: called in a nanny's process when the plugin comes to the nanny.
        finalizer: called once when the nanny closes.
        timeout: seconds that the finalizer may take.

    Returns:
        A plugin for `Client.register_plugin`.

    Raises:
        TypeError, UsageError: as `worker`.
    """
    # Without signals, because the program that a nanny runs in decides about them.
    begin = pools.worker(*scopes, initializer=initializer, signals=(), outlive_parent=True)
    return _OfNanny(begin, finalizer, timeout)


class _PluginLifetime:
    """The begin and the end of a worker or nanny, which may close before its process ends."""

    def __init__(
        self,
        begin: pools.Worker,
        finalizer: Callable[[], object] | None,
        timeout: float | None,
    ) -> None:
        # Made only to check the arguments; each worker registers its finalizer in `_set_up`.
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
        """Begin, because the plugin came to a worker."""
        self._set_up()

    def teardown(self, worker: object) -> None:  # noqa: ARG002
        """End, because the worker closes or the plugin is removed."""
        self._tear_down()


class _OfNanny(_PluginLifetime, NannyPlugin):
    def setup(self, nanny: object) -> None:  # noqa: ARG002
        """Begin, because the plugin came to a nanny."""
        self._set_up()

    def teardown(self, nanny: object) -> None:  # noqa: ARG002
        """End, because the nanny closes or the plugin is removed."""
        self._tear_down()
