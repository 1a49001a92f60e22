"""Pools of two workers, each made, used, ended and broken by the same few calls.

What happens is said, so that the test can compare:

    made PID PATH      a worker made a directory for itself, in the scope
    finished PID       its finalizer ran
    job WORDS          what became of the job of a worker that was killed
    pool WORDS         what became of the next jobs of that pool
    standing WHEN PATH a directory was still there when the workers had ended, ...
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
from say import say

import lastout
from lastout.integrations import pools

SECONDS = 20.0


def wait_for(true):
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.005)


# What workers do.


def finish():
    say("finished", os.getpid())


def occupy(meeting):
    """Make a directory, and wait until another worker has come as well."""
    say("made", os.getpid(), lastout.current_scope().directory(lifetime="member"))
    Path(meeting, str(os.getpid())).touch()
    wait_for(lambda: len(os.listdir(meeting)) == 2)


def stay(meeting):
    """Be busy for long; once in each worker."""
    occupy(meeting)
    time.sleep(60)


def hold(meeting):
    """Make a directory and wait to be killed; nothing where somebody has waited already."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(meeting)
        say("made", os.getpid(), lastout.current_scope().directory(lifetime="member"))
        say("held", os.getpid())
        time.sleep(60)


# Pools, each by its own public calls.


class Pool:
    """`multiprocessing.Pool` and `multiprocess.Pool`."""

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


class Process:
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


class Futures:
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


class Loky(Futures):
    """`loky.ProcessPoolExecutor`."""

    def __init__(self, begin):
        from loky import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(2, initializer=begin)

    def terminate(self, _):
        self._pool.shutdown(kill_workers=True)


class Joblib:
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


class Loader:
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
    "multiprocess.Process": lambda begin, method: Process(begin, "multiprocess", method),
    "concurrent.futures.ProcessPoolExecutor": Executor,
    "loky.ProcessPoolExecutor": lambda begin, _: Loky(begin),
    "joblib.Parallel": lambda begin, _: Joblib(begin),
    "pebble.ProcessPool": Pebble,
    "a DataLoader": Loader,
}


# What is done to them.


def main(name, event, method):
    with lastout.Scope("pooled") as scope:
        begin = pools.worker(scope, finalizer=finish)
        pool = Dask(scope) if name == "distributed.LocalCluster" else POOLS[name](begin, method)
        use(pool, "first")
        workers = [int(name) for name in os.listdir("first")]
        if event == "closed":
            pool.close()
        elif event == "terminated":
            # An idle worker may be told to go before it is terminated.
            os.mkdir("busy")
            pool.run(stay, 2, "busy")
            wait_for(lambda: len(os.listdir("busy")) == 2)
            pool.terminate(workers)
        elif event == "parent killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif event == "worker killed":
            kill_one(pool, workers)
        wait_for(lambda: not any(map(runs, workers)))
        say_standing("inside")
    say_standing("outside")


def use(pool, meeting):
    os.mkdir(meeting)
    pool.wait(pool.run(occupy, 2, meeting), SECONDS)


def kill_one(pool, workers):
    job = pool.run(hold, 1, "held")
    wait_for(lambda: said("held"))
    [[victim]] = said("held")
    os.kill(int(victim), signal.SIGKILL)
    # What never ends is not waited for long; the next jobs are done before it is judged.
    outcome = "never" if isinstance(pool, Pool) else attempt(lambda: pool.wait(job, SECONDS))
    later = attempt(lambda: use(pool, "second"))
    if outcome == "never":
        outcome = attempt(lambda: pool.wait(job, 0.3))
    say("job", outcome)
    say("pool", later)
    say_standing("later")
    # Who waits for a job that never ends, closes for ever.
    if outcome == "never":
        pool.terminate(workers)
    else:
        pool.close()


def attempt(what):
    try:
        what()
    except Exception as error:
        word = type(error).__name__
        return "never" if word in ("TimeoutError", "Empty") else word
    return "well"


def say_standing(when):
    for pid, path in said("made"):
        if os.path.exists(path):
            say("standing", when, pid, path)


def said(word):
    lines = Path(os.environ["SAY_TO"]).read_text().splitlines()
    return [line.split(" ")[1:] for line in lines if line.split(" ")[0] == word]


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
