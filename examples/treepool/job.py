"""Job: a pool of workers packs the files of a tree, and is ended in an orderly way."""

from __future__ import annotations

import os
import queue
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

import lastout

from . import worker
from .account import Account
from .collector import Collector
from .files import checksum_line
from .worker import HELD_BACK, Packed, Place, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from .collector import Visit
    from .files import Found

    # What shows the progress: entered when the pool is there, then called
    # with each file that came back.
    Watch = Callable[["Job"], AbstractContextManager[Callable[[Packed], object]]]
    # A file that came back, a worker that has ended, or what a worker raised.
    Events = queue.SimpleQueue[Packed | Visit | BaseException]

TRIES = 5  # how often a file is given to a worker
# Seconds without a file, after a worker has ended: one that was killed before
# it said what it was at has taken a file along.
PATIENCE = 10.0
# Seconds of one wait.  CPython runs a signal's handler between two instructions
# of the main thread: if it arrives just before a wait, then after it.
SLICE = 0.5
CHECKSUMS = "SHA256SUMS"


class JobError(Exception):
    """The job cannot go on; the text says why."""


@dataclass(frozen=True)
class Job:
    """What to do, and by whom."""

    tree: str
    files: list[Found]
    output: str | None
    workers: int
    package: str
    start_method: str
    terminate: bool

    def tasks(self) -> list[Task]:
        """One for each file, the largest first: then none of them is left for the end."""
        tasks = [Task(n, self._source(n), self._target(n)) for n in range(len(self.files))]
        return sorted(tasks, key=lambda task: -self.files[task.number].size)

    def _source(self, number: int) -> str:
        return os.path.join(self.tree, self.files[number].path)

    def _target(self, number: int) -> str | None:
        return self.output and os.path.join(self.output, self.files[number].path + ".gz")


def run(job: Job, watch: Watch) -> Account:
    """Do the job, and look afterwards at what is left of it.

    Raises:
        OSError: the directory of this run, or its socket, cannot be made.
    """
    account = Account()
    events: Events = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="compress_tree-") as root:
        place = Place(root)
        os.mkdir(place.scratch)
        os.mkdir(place.reports)
        with Collector(place.socket, events.put) as collector:
            children: dict[int, Any] = {}
            try:
                with _pool(job, place, collector, children) as pool, watch(job) as step:
                    for packed in _results(job, pool, events, collector):
                        if account.add(packed):
                            step(packed)
                if job.output:
                    _write_checksums(job, job.output, account)
            except KeyboardInterrupt:
                account.broken = "interrupted"
            except (JobError, OSError) as error:
                account.broken = str(error)
            collector.stop()
            account.close(place, collector.visits, children)
    return account


@contextmanager
def _pool(job: Job, place: Place, collector: Collector, children: dict[int, Any]) -> Iterator[Any]:
    """A pool that is closed, or terminated: where that is wanted or something went wrong.

    Its processes are noted in `children`.
    """
    package: Any = import_module(job.package)
    if job.start_method != "fork":
        # Started on the way, it would unblock the signals that are held back.
        import_module(f"{job.package}.resource_tracker").ensure_running()
    pool, in_order = None, False
    try:
        with _signals_held_back():
            context = package.get_context(job.start_method)
            pool = context.Pool(job.workers, worker.start, [place])
            # Threads only now: a process that is forked should have only one.
            collector.start()
            _note_children(package, children)
            lastout.handle_signals(raise_in_main=True)  # workers choose their own way
        yield pool
        # A pool that has lost a task waits for it for ever.
        in_order = not job.terminate and not collector.has_ended()
    finally:
        if pool is not None:
            _note_children(package, children)  # those that took the place of others
            if in_order:
                pool.close()
            else:
                pool.terminate()
            pool.join()
            _note_children(package, children)  # those that should be gone


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Block the signals, here and in every process that is started meanwhile."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _note_children(package: Any, children: dict[int, Any]) -> None:
    children.update({child.pid: child for child in package.active_children()})


def _results(job: Job, pool: Any, events: Events, collector: Collector) -> Iterator[Packed]:
    """What comes back from the pool, until there is something of each file.

    What a worker was at when it ended is given to another one.

    Raises:
        JobError: a worker cannot work, or a file does not come back however often it is given.
    """

    def give(numbers: Iterable[int]) -> None:
        for number in numbers:
            tries[number] += 1
            if tries[number] > TRIES:
                raise JobError(f"{job.files[number].path} did not come back from {TRIES} workers")
            task = [waiting[number]]
            pool.apply_async(worker.pack, task, callback=events.put, error_callback=events.put)

    waiting = {task.number: task for task in job.tasks()}
    tries = dict.fromkeys(waiting, 0)
    give(waiting)
    for event in _come_in(events, collector):
        if isinstance(event, BaseException):
            raise JobError(str(event)) from event
        if event is None:
            give(waiting)
        elif isinstance(event, Packed):
            waiting.pop(event.number, None)
            yield event
        elif event.at in waiting:
            give([event.at])
        if not waiting:
            return


def _come_in(
    events: Events, collector: Collector
) -> Iterator[Packed | Visit | BaseException | None]:
    """The events, for ever; `None` where there was none for so long that a file must be lost."""
    last = monotonic()
    while True:
        try:
            event = events.get(timeout=SLICE)
        except queue.Empty:
            if not collector.has_ended() or monotonic() - last < PATIENCE:
                continue
            event = None
        last = monotonic()
        yield event


def _write_checksums(job: Job, output: str, account: Account) -> None:
    with open(os.path.join(output, CHECKSUMS), "wb") as sums:
        for number, found in enumerate(job.files):
            content = account.packed[number].content
            if content is not None:
                sums.write(checksum_line(found.path, content.digest))
