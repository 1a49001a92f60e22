"""Worker: what runs in each process of the pool, and gives back what it took.

Each process is a member of the scope of the run.  Each thing is followed by its
exit handler where it is acquired, so that they go in the reverse order, however
the worker ends:

    connection         ==> closed          4., in at most 5 seconds
    scratch directory  ==> the scope left  3., which removes what is this member's
    counters           ==> written down    2., in shared memory of the scope
    the work           ==> at a standstill 1., in at most 5 seconds

On a signal the handlers run beside the main thread, which goes on with its
file: so the first of them is to stop it.  On SIGKILL none of them runs; then
the scratch directory is removed by the next one to join, leave or reap.
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
import threading
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import lastout

from . import files
from .collector import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.shared_memory import SharedMemory

# Blocked while a worker starts (its parent sees to that): a signal finds it
# either with all its handlers or with nothing to clean up.
HELD_BACK = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
COUNTERS = struct.Struct("<4Q")  # of one worker: its pid, files, size, packed
SPARE = 1000  # workers that may take the place of others


class Place(NamedTuple):
    """Where the workers meet: a directory and shared memory of the scope of the run.

    Attributes:
        root: the directory.
        package: whose pool it is.
        counters: the counters of all workers.
    """

    root: str
    package: str
    counters: SharedMemory

    @property
    def socket(self) -> str:
        """The collector's address."""
        return os.path.join(self.root, "collector")

    @property
    def scratch(self) -> str:
        """The directory with the workers' scratch directories."""
        return os.path.join(self.root, "scratch")

    @property
    def packed(self) -> str:
        """The directory of packed files that nobody wants to keep."""
        return os.path.join(self.root, "packed")


class Task(NamedTuple):
    """A file to pack, where the result has to go, and whether to wait then to be killed."""

    number: int
    source: str
    target: str
    hold: bool = False


class Packed(NamedTuple):
    """What became of a file: its content, or the problem with it."""

    number: int
    pid: int
    content: files.Content | None
    problem: str = ""


class Worker:
    """A worker's own things."""

    def __init__(self, place: Place, scope: lastout.Scope) -> None:
        self.pid = os.getpid()
        self.place = place
        self.scope = scope
        self.counters = {"files": 0, "size": 0, "packed": 0}

        self.connection = Connection(place.socket)
        lastout.handler(timeout=5.0)(self.connection.close)
        self.connection.cleaned("joining", scope.report)

        scratch = os.path.join(place.scratch, str(self.pid))
        self.scratch = scope.directory(scratch, lifetime="member")
        lastout.register(self.leave)

        lastout.register(self.write_counters)

        self.at_work = threading.Lock()
        self.stopping = threading.Event()
        lastout.handler(timeout=5.0)(self.stop)

    def leave(self) -> None:
        """Leave the scope, and say what was cleaned by that."""
        self.connection.cleaned("leaving", self.scope.leave())

    def write_counters(self) -> None:
        """Write down what was done here, in the place of this worker among all."""
        name = import_module(self.place.package).current_process().name
        place = (int(name.rpartition("-")[2]) - 1) * COUNTERS.size  # "ForkPoolWorker-1"
        memory = self.place.counters.buf
        assert memory is not None
        COUNTERS.pack_into(memory, place, self.pid, *self.counters.values())

    def stop(self) -> None:
        """Bring the work to a standstill; it goes no further than the block at hand."""
        self.stopping.set()
        self.at_work.acquire()

    def pack(self, task: Task) -> Packed:
        """Pack one file in the scratch directory, then put it where it has to go."""
        with self.at_work:
            self.connection.at(task.number)
            packed = self._pack(task)
        while packed is None:
            signal.pause()  # stopped by a signal: this process is about to die of it
        return packed

    def _pack(self, task: Task) -> Packed | None:
        draft = os.path.join(self.scratch, "draft.gz")
        content, problem = None, ""
        try:
            content = files.pack(task.source, draft, lambda: not self.stopping.is_set())
        except files.Unreadable as error:
            problem = str(error)
        if task.hold:
            self.connection.hold()
            self.stopping.wait()
        if self.stopping.is_set():
            return None
        if content is not None:
            os.makedirs(os.path.dirname(task.target), exist_ok=True)
            shutil.move(draft, task.target)
            self.counters["files"] += 1
            self.counters["size"] += content.size
            self.counters["packed"] += content.packed
        return Packed(task.number, self.pid, content, problem)


_worker: Worker | None = None
_why_none = "it was not started"
_has_said_so = False


def start(place: Place, join: Callable[[], None]) -> None:
    """The initializer of the pool.

    Args:
        place: where the workers meet.
        join: the `worker` of their scope.
    """
    global _worker, _why_none
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    try:
        lastout.handle_signals()  # for Pool.terminate(), which sends SIGTERM
        join()
        _worker = Worker(place, lastout.current_scope())
    except (OSError, lastout.LastoutError) as error:
        # Out of here it would end the worker, and a pool starts new ones for ever.
        _why_none = str(error)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def pack(task: Task) -> Packed:
    """The task of the pool."""
    if _worker is None:
        raise _could_not_start()
    return _worker.pack(task)


def _could_not_start() -> RuntimeError:
    """The error that ends the job; the first one does, and there is no second.

    A worker that goes on returning results while `Pool.terminate()` kills it may die with
    the lock of the result queue, and the pool waits for that for ever.
    """
    global _has_said_so
    while _has_said_so:
        signal.pause()
    _has_said_so = True
    return RuntimeError(f"worker {os.getpid()} could not start: {_why_none}")
