"""The pools of `pooled.py`, each by its own public calls.

run(func, count, meeting)   give so many jobs; returns what `wait` takes
wait(jobs, seconds)         until they are done; raises what became of them
close()                     let the workers end
terminate(workers)          end them at once
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import threading
import time

from pooled import SECONDS, finish, runs, wait_for

from lastout.integrations import pools


class Kind:
    """A kind of pool."""

    forgets_jobs = False  # whether the job of a worker that is killed never ends


class Pool(Kind):
    """`multiprocessing.Pool` and `multiprocess.Pool`."""

    forgets_jobs = True

    def __init__(self, begin, package, method):
        self._pool = importlib.import_module(package).get_context(method).Pool(2, begin)

    def run(self, func, count, meeting):
        return [self._pool.apply_async(func, (meeting,)) for _ in range(count)]

    def wait(self, jobs, seconds):
        for job in jobs:
            job.get(seconds)

    def close(self):
        self._pool.close()
        self._pool.join()

    def terminate(self, _):
        self._pool.terminate()
        self._pool.join()


class Billiard(Pool):
    """`billiard.Pool`, celery's; it tells of a worker that was lost."""

    forgets_jobs = False


class Process(Kind):
    """Two `Process`es at a time, which end when they are told to."""

    def __init__(self, begin, package, method):
        self._begin = begin
        self._context = importlib.import_module(package).get_context(method)
        self._go = self._context.Event()
        self._started = []

    def run(self, func, count, meeting):
        jobs = []
        for _ in range(count):
            done = self._context.Event()
            args = (self._begin, func, meeting, done, self._go)
            process = self._context.Process(target=live, args=args)
            process.start()
            jobs.append((process, done))
            self._started.append(process)
        return jobs

    def wait(self, jobs, seconds):
        for process, done in jobs:
            end = time.monotonic() + seconds
            while not done.wait(0.01) and not process.exitcode:
                if time.monotonic() > end:
                    raise TimeoutError
            if process.exitcode == -signal.SIGKILL:
                raise ChildProcessError
            assert not process.exitcode

    def close(self):
        self._go.set()
        self._join()

    def terminate(self, _):
        for process in self._started:
            process.terminate()
        self._join()

    def _join(self):
        for process in self._started:
            process.join(SECONDS)


def live(begin, func, meeting, done, go):
    begin()
    func(meeting)
    done.set()
    go.wait()


class Futures(Kind):
    """Whatever has `submit` and gives futures."""

    def run(self, func, count, meeting):
        return [self._pool.submit(func, meeting) for _ in range(count)]

    def wait(self, jobs, seconds):
        for job in jobs:
            job.result(seconds)

    def close(self):
        self._pool.shutdown()


class Executor(Futures):
    """`ProcessPoolExecutor`; up to Python 3.13 it has no way to terminate its workers."""

    def __init__(self, begin, method):
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        self._pool = ProcessPoolExecutor(2, get_context(method), begin)

    def terminate(self, workers):
        os.kill(workers[0], signal.SIGTERM)  # it terminates the others when it sees that
        self.close()


class Interpreters(Futures):
    """`InterpreterPoolExecutor`: nobody can terminate its workers, or kill one of them."""

    def __init__(self, begin):
        from concurrent.futures import InterpreterPoolExecutor

        self._pool = InterpreterPoolExecutor(2, initializer=begin)


class Loky(Futures):
    """`loky.ProcessPoolExecutor`."""

    def __init__(self, begin):
        from loky import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(2, initializer=begin)

    def terminate(self, _):
        self._pool.shutdown(kill_workers=True)


class Joblib(Kind):
    """`joblib.Parallel` with loky's workers; it is called on a thread, because it waits."""

    def __init__(self, begin):
        self._begin = begin

    def run(self, func, count, meeting):
        answer = queue.Queue()
        threading.Thread(target=self._call, args=(func, count, meeting, answer)).start()
        return answer

    def _call(self, func, count, meeting, answer):
        import joblib

        try:
            with joblib.parallel_config("loky", n_jobs=2, initializer=self._begin):
                joblib.Parallel()(joblib.delayed(func)(meeting) for _ in range(count))
            answer.put(None)
        except Exception as error:
            answer.put(error)

    def wait(self, jobs, seconds):
        error = jobs.get(timeout=seconds)
        if error:
            raise error

    def close(self):
        self._executor().shutdown()

    def terminate(self, _):
        self._executor().shutdown(kill_workers=True)

    def _executor(self):
        from joblib.externals.loky import get_reusable_executor

        return get_reusable_executor(reuse=True)


class Pebble(Futures):
    """`pebble.ProcessPool`."""

    def __init__(self, begin, method):
        from multiprocessing import get_context

        from pebble import ProcessPool

        self._pool = ProcessPool(2, initializer=begin, context=get_context(method))

    def run(self, func, count, meeting):
        return [self._pool.schedule(func, (meeting,)) for _ in range(count)]

    def close(self):
        self._pool.close()
        self._pool.join()

    def terminate(self, _):
        self._pool.stop()
        self._pool.join()


class Dask(Futures):
    """`dask.distributed`: a `LocalCluster` with a nanny for each worker."""

    def __init__(self, scope):
        from distributed import Client, LocalCluster

        from lastout.integrations import dask

        self._cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        self._client = Client(self._cluster)
        self._client.register_plugin(dask.worker(scope, finalizer=finish))
        self._client.register_plugin(dask.nanny(scope))

    def run(self, func, count, meeting):
        self._jobs = [self._client.submit(func, meeting, pure=False) for _ in range(count)]
        return self._jobs

    def close(self):
        self._client.close()
        self._cluster.close()

    def terminate(self, workers):
        self._client.cancel(self._jobs)  # else they would be run again
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not any(map(runs, workers)))
        self.close()


class Loader(Kind):
    """Workers that begin and end as those of PyTorch's DataLoader do."""

    def __init__(self, worker_init_fn, method):
        from multiprocessing import get_context

        context = get_context(method)
        self._indices = [context.SimpleQueue() for _ in range(2)]
        self._results = context.Queue()
        self._workers = []
        for number, indices in enumerate(self._indices):
            args = (worker_init_fn, number, indices, self._results)
            self._workers.append(context.Process(target=load, args=args, daemon=True))
            self._workers[-1].start()

    def run(self, func, count, meeting):
        self._check()
        for indices in self._indices[:count]:
            indices.put((func, meeting))
        return count

    def _check(self):
        if not all(worker.is_alive() for worker in self._workers):
            raise RuntimeError("a worker exited unexpectedly")

    def wait(self, jobs, seconds):
        for _ in range(jobs):
            end = time.monotonic() + seconds
            while True:
                with contextlib.suppress(queue.Empty):
                    self._results.get(timeout=0.05)
                    break
                self._check()
                assert time.monotonic() < end

    def close(self):
        for indices in self._indices:
            indices.put(None)
        for worker in self._workers:
            worker.join(SECONDS)

    def terminate(self, _):
        for worker in self._workers:
            worker.terminate()
            worker.join(SECONDS)


def load(worker_init_fn, number, indices, results):
    worker_init_fn(number)
    while (order := indices.get()) is not None:
        func, meeting = order
        results.put(func(meeting))


POOLS = {
    "multiprocessing.Pool": lambda begin, method: Pool(begin, "multiprocessing", method),
    "multiprocess.Pool": lambda begin, method: Pool(begin, "multiprocess", method),
    "multiprocessing.Process": lambda begin, method: Process(begin, "multiprocessing", method),
    "billiard.Pool": lambda begin, method: Billiard(begin, "billiard", method),
    "multiprocess.Process": lambda begin, method: Process(begin, "multiprocess", method),
    "concurrent.futures.ProcessPoolExecutor": Executor,
    "concurrent.futures.InterpreterPoolExecutor": lambda begin, _: Interpreters(begin),
    "loky.ProcessPoolExecutor": lambda begin, _: Loky(begin),
    "joblib.Parallel": lambda begin, _: Joblib(begin),
    "pebble.ProcessPool": Pebble,
    "a DataLoader": Loader,
}


def make(name, scope, method):
    if name == "distributed.LocalCluster":
        return Dask(scope)
    if name == "pytest-xdist":
        from pooled_xdist import Xdist

        return Xdist()
    return POOLS[name](pools.worker(scope, finalizer=finish), method)
