"""Job: a pool of workers packs the files of a tree, and is ended in an orderly way."""

from __future__ import annotations

import os
import queue
import select
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

import lastout

from . import worker
from .account import Account
from .collector import Collector
from .files import checksum_line
from .worker import COUNTERS, HELD_BACK, SPARE, Packed, Place, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from .collector import Visit
    from .files import Found

    # What shows the progress: entered when the pool is there, then called
    # with each file that came back.
    Watch = Callable[["Job"], AbstractContextManager[Callable[[Packed], object]]]
    # A file that came back, a worker that has come, is held up or has ended, or
    # what a worker raised.
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
    kill: int

    def tasks(self, output: str) -> list[Task]:
        """One for each file, the largest first: then none of them is left for the end.

        As many workers as are to be killed are held up on the way, evenly spread.
        """
        count = len(self.files)
        order = sorted(range(count), key=lambda number: -self.files[number].size)
        tasks = [self._task(number, output) for number in order]
        for place in (count * n // (self.kill + 1) for n in range(1, self.kill + 1)):
            tasks[place] = tasks[place]._replace(hold=True)
        return tasks

    def _task(self, number: int, output: str) -> Task:
        path = self.files[number].path
        return Task(number, os.path.join(self.tree, path), os.path.join(output, path + ".gz"))


def run(job: Job, watch: Watch) -> Account:
    """Do the job in a scope, and look afterwards at what is left of it.

    Raises:
        OSError: the directory of this run, or its socket, cannot be made.
        lastout.LastoutError: there can be no scope, or nothing in it.
    """
    account = Account()
    events: Events = queue.SimpleQueue()
    with lastout.Scope() as scope:
        place = _make_place(job, scope)
        with Collector(place.socket, events.put, account.note) as collector:
            run = Running(job, scope, place, account, events, collector)
            try:
                with run.pool() as pool, watch(job) as step:
                    for packed in run.results(pool):
                        if account.add(packed):
                            step(packed)
                if job.output:
                    _write_checksums(job, job.output, account)
            except KeyboardInterrupt:
                account.broken = "interrupted"
            except (JobError, OSError) as error:
                account.broken = str(error)
            collector.stop()
            run.reap()
            account.close(place, scope, collector.visits, run.children)
        place.counters.close()
        account.note_report("leaving last", scope.leave())
        account.check_gone(place, scope)
    return account


def _make_place(job: Job, scope: lastout.Scope) -> Place:
    counters = scope.shared_memory((job.workers + SPARE) * COUNTERS.size)
    root = os.path.join(tempfile.gettempdir(), f"compress_tree-{scope.name[:8]}")
    place = Place(str(scope.directory(root)), job.package, counters)
    os.mkdir(place.scratch)
    return place


@dataclass
class Running:
    """A job while it runs.

    Attributes:
        children: the processes of its pool, those that were replaced included.
    """

    job: Job
    scope: lastout.Scope
    place: Place
    account: Account
    events: Events
    collector: Collector
    children: dict[int, Any] = field(default_factory=dict)

    @contextmanager
    def pool(self) -> Iterator[Any]:
        """A pool that is closed, or terminated: where that is wanted or something went wrong."""
        job = self.job
        package: Any = import_module(job.package)
        if job.start_method != "fork":
            # Started on the way, it would unblock the signals that are held back.
            import_module(f"{job.package}.resource_tracker").ensure_running()
        pool, in_order = None, False
        try:
            with _signals_held_back():
                context = package.get_context(job.start_method)
                pool = context.Pool(job.workers, worker.start, [self.place, self.scope.worker])
                # Threads only now: a process that is forked should have only one.
                self.collector.start()
                self._note_children()
                lastout.handle_signals(raise_in_main=True)  # workers choose their own way
            yield pool
            # A pool that has lost a task waits for it for ever.
            in_order = not job.terminate and not self.collector.has_ended()
        finally:
            if pool is not None:
                self._note_children()  # those that took the place of others
                if in_order:
                    pool.close()
                else:
                    pool.terminate()
                pool.join()
                self._note_children()  # those that should be gone

    def _note_children(self) -> None:
        active = import_module(self.job.package).active_children()
        self.children.update({child.pid: child for child in active})

    def results(self, pool: Any) -> Iterator[Packed]:
        """What comes back from the pool, until there is something of each file.

        What a worker was at when it ended is given to another one.

        Raises:
            JobError: a worker cannot work, or a file does not come back however
                often it is given.
        """

        def give(numbers: Iterable[int]) -> None:
            for number in numbers:
                tries[number] += 1
                if tries[number] > TRIES:
                    path = self.job.files[number].path
                    raise JobError(f"{path} did not come back from {TRIES} workers")
                task = waiting[number]
                waiting[number] = task._replace(hold=False)
                put = self.events.put
                pool.apply_async(worker.pack, [task], callback=put, error_callback=put)

        tasks = self.job.tasks(self.job.output or self.place.packed)
        waiting = {task.number: task for task in tasks}
        tries = dict.fromkeys(waiting, 0)
        give(list(waiting))
        while waiting:
            event = self._next_event()
            if isinstance(event, BaseException):
                raise JobError(str(event)) from event
            if event is None:
                give(list(waiting))
            elif isinstance(event, Packed):
                waiting.pop(event.number, None)
                yield event
            elif event.state == "open":
                self._attend(event)
            else:
                self._clean_up_after(event)
                if event.at in waiting:
                    give([event.at])

    def _next_event(self) -> Packed | Visit | BaseException | None:
        """What comes next; `None` where nothing came for so long that a file must be lost."""
        began = monotonic()
        while True:
            try:
                return self.events.get(timeout=SLICE)
            except queue.Empty:
                if self.collector.has_ended() and monotonic() - began > PATIENCE:
                    return None

    def _attend(self, visit: Visit) -> None:
        """A worker has come, or is held up in the middle of its work, to be killed there."""
        if visit.pid not in self.children:
            self._note_children()
        if visit.held and visit.pid in self.children:
            self.account.killed.add(visit.pid)
            self.children[visit.pid].kill()

    def _clean_up_after(self, visit: Visit) -> None:
        """A worker has ended; the others go on."""
        if visit.state == "lost":
            _wait_for_death(visit.pid)
            self.reap()

    def reap(self) -> None:
        """Clean up after the workers that are dead."""
        self.account.note_report("reaping", lastout.reap(name=self.scope.name))


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Block the signals, here and in every process that is started meanwhile."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _wait_for_death(pid: int) -> None:
    """A connection is closed a moment before its process is dead.

    Without `join`: the pool's own thread waits for it too, and by forkserver
    only one of them would be told the exit status.
    """
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return  # dead, or a system that has none: then the next to reap finds it
    try:
        select.select([handle], [], [], PATIENCE)
    finally:
        os.close(handle)


def _write_checksums(job: Job, output: str, account: Account) -> None:
    with open(os.path.join(output, CHECKSUMS), "wb") as sums:
        for number, found in enumerate(job.files):
            content = account.packed[number].content
            if content is not None:
                sums.write(checksum_line(found.path, content.digest))
