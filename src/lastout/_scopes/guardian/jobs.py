"""Jobs: what a guardian has done by others, because it is too small to do it itself.

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
    """Processes that do what the guardian itself is too small for, one of a kind at a time.

    Args:
        lock: the descriptor by which the guardian is known to live.
        paths: where to find what cleaning imports.

    Attributes:
        running: what each process is doing.
    """

    def __init__(self, lock: int, paths: Sequence[str]) -> None:
        self._lock = lock
        self._paths = paths
        self.running: dict[int, str] = {}

    def prepare(self) -> None:
        """Load what jobs need of the standard library: a third of their time, for 2 MB."""
        import inspect  # noqa: F401
        import json  # noqa: F401
        import typing  # noqa: F401

    def start(self, job: str, path: str, waited_for: tuple[str, int] | None = None) -> int:
        """Start a job on the scope at that path; its process.

        Args:
            job: which one.
            path: the path of the scope.
            waited_for: a member, and its journal, whose lock a thread of this process is
                about to get: with it open too, the job would take that member for alive.

        Raises:
            OSError: there is no memory for it, or there are too many processes.
        """
        pid = os.fork()
        if not pid:
            self._be(job, path, waited_for)
        self.running[pid] = job
        return pid

    def result(self, pid: int) -> tuple[str, bool]:
        """Which job a process that has ended did, and whether it did."""
        _, status = os.waitpid(pid, 0)
        return self.running.pop(pid), status == 0

    def _be(self, job: str, path: str, waited_for: tuple[str, int] | None) -> None:
        """Do a job, and end: nothing comes out of here."""
        status = 1
        try:
            gc.disable()  # it costs a tenth of the time, for a process that ends
            signal.set_wakeup_fd(-1)
            os.close(self._lock)  # else a guardian that is killed now could not be replaced yet
            if waited_for:
                os.close(waited_for[1])
            # Behind the standard library: nobody's `json.py` may stand in its way.
            sys.path += self._paths
            from ..reaping import recovery

            recovery.do(job, *os.path.split(path))
            status = 0
        finally:
            os._exit(status)
