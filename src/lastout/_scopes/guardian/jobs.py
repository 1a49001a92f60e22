"""GuardianJobs: processes that a guardian forks for its work, to load no code for that itself.

Tested by: tests/shared/test_watch.py, tests/shared/test_guardian.py
"""

from __future__ import annotations

import gc
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class GuardianJobs:
    """Processes that do the work of a guardian, at most one for each job at a time.

    Args:
        lock: the descriptor of the guardian's lock.
        paths: entries of `sys.path` for the modules that cleaning imports.

    Attributes:
        running: the job of each process.
    """

    def __init__(self, lock: int, paths: Sequence[str]) -> None:
        self._lock = lock
        self._paths = paths
        self.running: dict[int, str] = {}

    def prepare(self) -> None:
        """Load modules that every job needs, which saves a third of its time for 2 MB."""
        import inspect  # noqa: F401
        import json  # noqa: F401
        import typing  # noqa: F401

    def start(self, job: str, path: str, waited_for: tuple[str, int] | None = None) -> int:
        """Start a job on the scope at `path`; returns its pid.

        Args:
            job: the name of the job.
            path: the path of the scope.
            waited_for: a member, and the descriptor of its journal, whose lock a thread of
                this process is about to get.  The job closes it, because otherwise it would
                take the member for alive.

        Raises:
            OSError: no memory is left for a process, or there are too many processes.
        """
        pid = os.fork()
        if not pid:
            self._be(job, path, waited_for)
        self.running[pid] = job
        return pid

    def result(self, pid: int) -> tuple[str, bool]:
        """The job of a process that has ended, and whether it succeeded."""
        _, status = os.waitpid(pid, 0)
        return self.running.pop(pid), status == 0

    def _be(self, job: str, path: str, waited_for: tuple[str, int] | None) -> None:
        """Do a job and end this process; never returns or raises."""
        status = 1
        try:
            gc.disable()  # because it takes a tenth of the time, and the process ends soon
            signal.set_wakeup_fd(-1)
            # Else the job would keep a new guardian from starting if this guardian is killed now.
            os.close(self._lock)
            if waited_for:
                os.close(waited_for[1])
            # At the end, because a program's `json.py` must not hide the standard library's.
            sys.path += self._paths
            from ..reaping import recovery

            recovery.do(job, *os.path.split(path))
            status = 0
        finally:
            os._exit(status)
