"""dask.distributed: plugins for workers that are processes or threads, and for nannies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import lastout

dask = pytest.importorskip(
    "lastout.integrations.dask", reason="distributed is not installed", exc_type=ImportError
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

HEAD = """
    import os, signal, subprocess, sys, threading, time
    from distributed import Client, LocalCluster
    import lastout
    from lastout.integrations import dask
    from say import say

    LOCAL = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
"""


@pytest.mark.parametrize("make", [dask.worker, dask.nanny])
def test_mistakes(make: Callable[..., object]) -> None:
    """What can be no plugin is refused where it is made."""
    with pytest.raises(TypeError):
        make("scope")
    with pytest.raises(TypeError):
        make(finalizer=5)
    with pytest.raises(lastout.UsageError):
        make(timeout=1)


def test_workers_that_are_threads(program: Start) -> None:
    """Each worker begins and ends once, and the client leaves its scope when it wants to."""
    child = program(
        HEAD
        + """
    if __name__ == "__main__":
        with lastout.Scope() as scope:
            with LocalCluster(processes=False, **LOCAL) as cluster, Client(cluster) as client:
                plugin = dask.worker(
                    scope, initializer=lambda: say("begin"), finalizer=lambda: say("end")
                )
                client.register_plugin(plugin)
                path = client.submit(lambda: os.fspath(scope.directory())).result()
            say(len(scope.members()), os.path.exists(path))
        say(os.path.exists(path))
        say(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
    """
    )
    end = child.end()
    assert end.status == 0, end.err
    assert child.lines == ["begin", "end", "1 True", "False", "True"]


@pytest.mark.parametrize("limit", ["None", "0.1"])
def test_a_worker_s_finalizer(program: Start, limit: str) -> None:
    """It runs when the plugin is taken away, and once only; one that hangs is left behind."""
    child = program(
        HEAD
        + f"""
    def end():
        say("end", os.getpid())
        if {limit}:
            threading.Event().wait()

    if __name__ == "__main__":
        with LocalCluster(**LOCAL) as cluster, Client(cluster) as client:
            client.register_plugin(dask.worker(finalizer=end, timeout={limit}), name="ours")
            try:
                client.unregister_worker_plugin("ours")
            except lastout.HandlerTimeout as error:
                say(error.handler, error.seconds)
            say(client.submit(abs, -1).result())
    """
    )
    end = child.end()
    assert end.status == 0, end.err
    first, *rest = child.lines
    assert first.startswith("end")
    assert rest == ([] if limit == "None" else ["__main__.end 0.1"]) + ["1"]


def test_a_scope_whose_client_is_gone(program: Start) -> None:
    """A nanny in a program of its own keeps the scope from one worker to the next."""
    child = program(
        HEAD
        + """
    NANNY = [
        sys.executable, "-m", "distributed.cli.dask_worker", "--nanny", "--nthreads", "1",
        "--no-dashboard", "--worker-port", "0",
    ]

    def make():
        made = lastout.current_scope()
        return os.getpid(), made.name, os.fspath(made.directory())

    def look(path):
        return os.getpid(), lastout.current_scope().name, os.path.exists(path)

    if __name__ == "__main__":
        options = {**LOCAL, "n_workers": 0}
        with LocalCluster(**options) as cluster, Client(cluster) as client:
            nanny = subprocess.Popen([*NANNY, cluster.scheduler_address])
            client.wait_for_workers(1)
            with lastout.Scope("ours") as scope:
                client.register_plugin(dask.nanny(scope))
                client.register_plugin(dask.worker(scope))
                pid, name, path = client.submit(make).result()
            say(name, os.path.exists(path))
            os.kill(pid, signal.SIGKILL)
            other, name, there = client.submit(look, path).result()
            say(other != pid, name, there)
            nanny.terminate()
            nanny.wait()
            say(os.path.exists(path))
    """
    )
    end = child.end()
    assert end.status == 0, end.err
    assert child.lines == ["ours True", "True ours True", "False"]


def test_a_finalizer_is_called_once() -> None:
    """Whoever is first, the worker that closes or its process that ends, calls the finalizer."""
    calls: list[str] = []
    plugin = dask.worker(finalizer=lambda: calls.append("end"))
    plugin._end()
    plugin._end()
    assert calls == ["end"]
    plugin = dask.worker(finalizer=lambda: calls.append("in time"), timeout=60)
    plugin._tear_down()
    assert calls == ["end", "in time"]
