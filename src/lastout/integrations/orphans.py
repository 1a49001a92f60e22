"""Orphans: a worker whose parent was killed, and that waits for jobs for ever.

The pipe that jobs come through does not end with the parent, because each
worker has the other end of it too.  So a thread waits for the parent itself:

    parent dies  ==>  the kernel wakes the thread  ==>  SIGTERM to this process
"""

from __future__ import annotations

import os
import sys
from functools import partial

from .._exits import PACKAGES
from .._exits.parent import end_after, wait_until_dead
from .._platform.pids import has_pidfds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def end_with_starter() -> bool:
    """Have this process sent SIGTERM when the one that started it is dead.

    Returns:
        `False` where no package started this process: that may live as long as it likes.
    """
    parent = _parent()
    if parent is None:
        return False
    end_after(partial(_wait_until_dead, parent))
    return True


def _parent() -> Any:
    """The process that started this one, as multiprocessing or multiprocess know it."""
    modules = [sys.modules.get(f"{package}.process") for package in PACKAGES]
    parents = [parent for module in modules if module and (parent := module.parent_process())]
    # Forked from a child of the other package, this process knows of its grandparent as well.
    parents.sort(key=lambda parent: parent.pid != os.getppid())
    return parents[0] if parents else None


def _wait_until_dead(parent: Any) -> None:
    if has_pidfds():
        wait_until_dead(parent.pid, partial(_is_alive, parent))
    else:
        parent.join()


def _is_alive(parent: Any) -> bool:
    if parent.pid == os.getppid():
        return True
    try:
        # Between a forkserver's child and its parent stands the server.
        return bool(parent.is_alive())
    except (TypeError, ValueError):
        return False  # loky's cannot be asked, and stand right above their children
