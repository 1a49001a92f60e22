"""Workers: processes of a pool that join a scope, and are of no use without their parent.

Tested by: tests/shared/test_orphans.py, tests/shared/test_joining.py
"""

from __future__ import annotations

import os
import signal
import sys

from ..._exits.children import do_in_children
from ..._exits.forkserver import is_forkserver
from ..._exits.parent import terminate_once
from ..._identity import has_ended, here
from ..._platform import pids
from ..._platform.imports import load, public
from ...backends.local import LocalBackend
from ...deadline import check_seconds
from ...errors import UsageError
from . import joining
from .holder_set import PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..._identity import Identity

GRACE: Final = 5.0  # seconds from SIGTERM to SIGKILL


@public
class Worker:
    """Makes the calling process a member of a scope until it ends; can be pickled.

    Args:
        root: the directory that the scope lies in.
        name: the scope.
        grace: seconds from SIGTERM to SIGKILL once the process that made this object has
            ended; `None` if workers are not to be ended.

    Attributes:
        terminates_itself: whether the worker sends itself the SIGTERM, so that no other process
            must: a second SIGTERM would kill it in the middle of its handlers.
    """

    def __init__(self, root: str, name: str, grace: float | None = None) -> None:
        self._root = root
        self._name = name
        self._grace = grace
        self.terminates_itself = False
        self._parent: Identity | None = None
        if grace is not None:
            # Now, because a signal may end this process, which ends its workers first.
            load("lastout._scopes.reaping.orphans")
        if grace is not None and not is_forkserver():
            self._take_parent()
        elif grace is not None:
            do_in_children(self._take_parent)

    def _take_parent(self) -> None:
        self._parent = here()

    def __call__(self, *_: object) -> None:
        member = joining.joined.get(os.path.join(self._root, self._name))
        # Not for a process that has a `Scope` object, such as that of a pool of threads, because
        # that decides when the process leaves.
        if not member or not member.joined or not member.holders.of_scopes(member.token):
            member = joining.enter(LocalBackend(self._root), self._name, PROCESS)
        if self._parent and self._grace is not None and self._parent.pid != os.getpid():
            member.journal.will_end_with(self._parent, self._grace, self.terminates_itself)
            # Checked after the record, because a reap before it could not know this worker.
            if has_ended(self._parent):
                # The cleanup after the parent has spared this living member, so it leaves itself.
                member.leave()
                terminate_once()
                sys.exit(128 + signal.SIGTERM)  # SIGTERM is ignored in this process

    def __repr__(self) -> str:
        return f"Worker({self._root!r}, {self._name!r}, grace={self._grace})"


def check(end_workers: bool | None, grace: float) -> tuple[bool | None, float]:
    """Check the arguments that say how workers are to end.

    Raises:
        TypeError: `end_workers` is no choice, or `grace` is no number of seconds.
        UsageError: no process can be ended safely here, or the grace is infinite.
    """
    if end_workers not in (None, True, False):
        raise TypeError(f"end_workers must be True, False or None, not {end_workers!r}")
    seconds = check_seconds(grace, "worker_grace")
    if seconds is None:
        raise UsageError("worker_grace must be a number of seconds: something has to end workers")
    if end_workers and not pids.has_pidfds():
        raise UsageError(
            "workers cannot be ended safely here: it takes Linux 5.3 or later, /proc, and a"
            " sandbox that allows pidfd_open"
        )
    return end_workers, seconds
