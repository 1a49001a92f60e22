"""Worker: what runs in each process of the pool, and gives back what it took.

Each thing is followed by its exit handler where it is acquired, so that they
go in the reverse order, however the worker ends:

    scratch directory  ==> removed         4.
    connection         ==> closed          3., in at most 5 seconds
    counters           ==> written down    2.
    the work           ==> at a standstill 1., in at most 5 seconds

On a signal the handlers run beside the main thread, which goes on with its
file: so the first of them is to stop it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
from typing import NamedTuple

import lastout

from . import files
from .collector import Connection

# Blocked while a worker starts (its parent sees to that): a signal finds it
# either with all its handlers or with nothing to clean up.
HELD_BACK = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Place(NamedTuple):
    """Where the workers meet; `root` is a directory of this run alone."""

    root: str

    @property
    def socket(self) -> str:
        """The collector's address."""
        return os.path.join(self.root, "collector")

    @property
    def scratch(self) -> str:
        """The directory with the workers' scratch directories."""
        return os.path.join(self.root, "scratch")

    @property
    def reports(self) -> str:
        """The directory that the counters are written to."""
        return os.path.join(self.root, "reports")


class Task(NamedTuple):
    """A file to pack, and where the result has to go, if it is wanted."""

    number: int
    source: str
    target: str | None


class Packed(NamedTuple):
    """What became of a file: its content, or the problem with it."""

    number: int
    pid: int
    content: files.Content | None
    problem: str = ""


class Worker:
    """A worker's own things."""

    def __init__(self, place: Place) -> None:
        self.pid = os.getpid()
        self.counters = {"files": 0, "size": 0, "packed": 0}

        self.scratch = tempfile.mkdtemp(prefix=f"{self.pid}-", dir=place.scratch)
        lastout.register(shutil.rmtree, self.scratch)

        self.connection = Connection(place.socket)
        lastout.handler(timeout=5.0)(self.connection.close)

        lastout.register(self.write_counters, os.path.join(place.reports, f"{self.pid}.json"))

        self.at_work = threading.Lock()
        self.stopping = False
        lastout.handler(timeout=5.0)(self.stop)

    def write_counters(self, path: str) -> None:
        """Write down what was done here."""
        with open(path, "w", encoding="ascii") as report:
            json.dump(self.counters, report)

    def stop(self) -> None:
        """Bring the work to a standstill; it goes no further than the block at hand."""
        self.stopping = True
        self.at_work.acquire()

    def pack(self, task: Task) -> Packed:
        """Pack one file in the scratch directory, then put it where it is wanted."""
        with self.at_work:
            self.connection.at(task.number)
            packed = self._pack(task)
        while packed is None:
            signal.pause()  # stopped by a signal: this process is about to die of it
        return packed

    def _pack(self, task: Task) -> Packed | None:
        draft = os.path.join(self.scratch, "draft.gz")
        try:
            content = files.pack(task.source, draft, lambda: not self.stopping)
        except files.Unreadable as error:
            return Packed(task.number, self.pid, None, str(error))
        if content is None:
            return None
        if task.target is not None:
            os.makedirs(os.path.dirname(task.target), exist_ok=True)
            shutil.move(draft, task.target)
        self.counters["files"] += 1
        self.counters["size"] += content.size
        self.counters["packed"] += content.packed
        return Packed(task.number, self.pid, content)


_worker: Worker | None = None
_why_none = "it was not started"


def start(place: Place) -> None:
    """The initializer of the pool."""
    global _worker, _why_none
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    try:
        _worker = Worker(place)
        lastout.handle_signals()  # for Pool.terminate(), which sends SIGTERM
    except OSError as error:
        # Out of here it would end the worker, and a pool starts new ones for ever.
        _why_none = str(error)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def pack(task: Task) -> Packed:
    """The task of the pool."""
    if _worker is None:
        raise RuntimeError(f"worker {os.getpid()} could not start: {_why_none}")
    return _worker.pack(task)
