"""Every kind of child process, started in one way: `start(kind, task, *args)`.

A kind is `package:method[:how]`, or one of the words in `OTHERS`:

    multiprocessing:spawn                      a Process
    multiprocess:forkserver+preload            ..., whose forkserver has imported `preloaded`
    multiprocessing:fork:Pool                  a pool of two, with `initializer`
    multiprocessing:fork:ProcessPoolExecutor   the same, of concurrent.futures
    os.fork   subprocess   loky   loky:reusable   joblib   pebble

A package is imported when it is first used, never before.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Task = Callable[..., None]

TIMEOUT = 60


def start(kind: str, task: Task, *args: Any, initializer: Task | None = None) -> list[int]:
    """Run `task(*args)` in a child of this kind, wait for its end; all exit statuses.

    Pools run `initializer`, where they can, in each of their two workers.
    """
    if kind in OTHERS:
        return OTHERS[kind](task, args, initializer)
    package, method, how = (*kind.split(":"), "Process")[:3]
    context = context_of(package, method)
    return _HOW[how](context, package, task, args, initializer)


def context_of(package: str, method: str) -> Any:
    """The multiprocessing context of `package` for a start method."""
    method, _, preload = method.partition("+")
    context = importlib.import_module(package).get_context(method)
    if preload:
        context.set_forkserver_preload(["preloaded"])
    return context


def call(text: str) -> None:
    """Run the task that `subprocess_` put into words."""
    module, name, args = json.loads(text)
    getattr(importlib.import_module(module), name)(*args)


def _process(context: Any, package: str, task: Task, args: Any, _: object) -> list[int]:
    child = context.Process(target=task, args=args)
    child.start()
    child.join(TIMEOUT)
    return [child.exitcode]


def _pool(context: Any, package: str, task: Task, args: Any, initializer: Any) -> list[int]:
    pool = context.Pool(2, initializer)
    workers = importlib.import_module(package).active_children()
    pool.apply_async(task, args).get(TIMEOUT)
    pool.close()
    pool.join()
    return [worker.exitcode for worker in workers]


def _futures(context: Any, package: str, task: Task, args: Any, initializer: Any) -> list[int]:
    from concurrent.futures import ProcessPoolExecutor

    return _executor(ProcessPoolExecutor(2, context, initializer), task, args)


def _executor(executor: Any, task: Task, args: Any) -> list[int]:
    from multiprocessing import active_children

    future = executor.submit(task, *args)
    workers = active_children()
    future.result(TIMEOUT)
    executor.shutdown()
    return [worker.exitcode for worker in workers]


def _os_fork(task: Task, args: Any, _: object) -> list[int]:
    pid = os.fork()
    if not pid:
        task(*args)
        sys.exit()  # up to the end of the program, as any process ends
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]


def _subprocess(task: Task, args: Any, _: object) -> list[int]:
    text = json.dumps([task.__module__, task.__qualname__, args])
    command = [sys.executable, "-c", "import sys, kin; kin.call(sys.argv[1])", text]
    return [subprocess.run(command, timeout=TIMEOUT, check=False).returncode]


def _loky(task: Task, args: Any, initializer: Any) -> list[int]:
    from loky import ProcessPoolExecutor

    return _executor(ProcessPoolExecutor(2, initializer=initializer), task, args)


def _loky_reusable(task: Task, args: Any, initializer: Any) -> list[int]:
    from loky import get_reusable_executor

    return _executor(get_reusable_executor(2, initializer=initializer), task, args)


def _joblib(task: Task, args: Any, _: object) -> list[int]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    # There joblib would do the task in this very process.
    assert not importlib.import_module("multiprocessing").current_process().daemon
    Parallel(n_jobs=2, backend="loky")([delayed(task)(*args)])
    get_reusable_executor().shutdown()
    return []


def _pebble(task: Task, args: Any, initializer: Any) -> list[int]:
    from pebble import ProcessPool

    context = context_of("multiprocessing", "fork")
    with ProcessPool(2, initializer=initializer, context=context) as pool:
        pool.schedule(task, args).result(TIMEOUT)
    return []


_HOW = {"Process": _process, "Pool": _pool, "ProcessPoolExecutor": _futures}

OTHERS = {
    "os.fork": _os_fork,
    "subprocess": _subprocess,
    "loky": _loky,
    "loky:reusable": _loky_reusable,
    "joblib": _joblib,
    "pebble": _pebble,
}
