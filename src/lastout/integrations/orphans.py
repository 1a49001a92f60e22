"""Orphans: end a worker whose parent was killed, instead of letting it wait for jobs for ever.

The pipe for jobs does not end with the parent, because each worker has its other
end too.  So a thread waits for the parent itself:

    parent dies  ==>  the kernel wakes the thread  ==>  SIGTERM to this process

Tested by: tests/integrations/test_pools.py, tests/process/test_parent.py
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
    """Have this process sent SIGTERM when the process that started it is dead.

    Returns:
        `False` if no package started this process, which then may outlive its parent.
    """
    parent = _parent()
    if parent is None:
        return False
    end_after(partial(_wait_until_dead, parent))
    return True


def _parent() -> Any:
    """The parent of this process, as multiprocessing or multiprocess know it."""
    modules = [sys.modules.get(f"{package}.process") for package in PACKAGES]
    parents = [parent for module in modules if module and (parent := module.parent_process())]
    # The parent first: if a child of one package forks this process by the second package, the
    # first package still names the grandparent.
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
        # A child of a fork server has another `getppid`, because the server forked it.
        return bool(parent.is_alive())
    except (TypeError, ValueError):
        return False  # loky's parent objects cannot be asked, but `getppid` has told: it has ended
