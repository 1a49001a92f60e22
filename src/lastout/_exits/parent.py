"""Parent: a process that ends when the one above it does, whoever that is.

    the parent dies ==> the kernel wakes our thread ==> SIGTERM to this process, once

By a descriptor of the parent (pidfd), so nobody looks again and again.  Linux has
PR_SET_PDEATHSIG for this, but sends it when the *thread* ends that started the process.
"""

from __future__ import annotations

import os
import signal
from functools import partial

from .._platform import in_main_interpreter, pids
from .._platform.imports import public
from .._platform.process_ends import hold_if, wait_for_ends
from ..errors import UsageError
from .children import do_in_children
from .forkserver import is_forkserver
from .signal_thread import start_unsignalled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Who is waited for already, and whether this process was sent the signal; with its pid,
# because a forked child has nobody who waits, and nothing was sent to it.
_awaited: set[tuple[int, int]] = set()
_signalled: dict[int, object] = {}


@public
def end_with_parent(parent: int | None = None) -> bool:
    """Have this process sent SIGTERM when its parent ends, whatever started it.

    For a server that talks through its standard input, a program under `subprocess` or
    under a shell: anything that should not stay behind when its client is killed.  Call
    `handle_signals` too, so that exit handlers run.  Children that this process forks
    call it for themselves.

    A parent that had ended before the call cannot be told from one that never was: the
    process has another one by then.  So have it tell its pid, such as by an argument:
    then SIGTERM comes at once.

    Args:
        parent: the pid of the process to end with, where that is known: the one that
            started this one, or one above that.

    Returns:
        `False` where there is nobody to end with: started by process 1, which outlives all
        others, or from outside of the container that this process is in.

    Raises:
        TypeError: `parent` is not a number.
        UsageError: this system cannot wait for a process that is not its child (it takes
            pidfds, Linux 5.3 and no sandbox that forbids them), or this is a subinterpreter.

    >>> import lastout
    >>> lastout.end_with_parent()
    True
    """
    if parent is not None and (isinstance(parent, bool) or not isinstance(parent, int)):
        raise TypeError(f"parent must be the pid of a process, not {parent!r}")
    if not in_main_interpreter() or not pids.has_pidfds():
        raise UsageError(
            "end_with_parent needs pidfds (Linux 5.3 or newer, and no sandbox that forbids "
            "them) and the main interpreter; ask os.getppid() from time to time instead"
        )
    if is_forkserver():
        do_in_children(partial(end_with_parent, parent))
        return True
    wanted = os.getppid() if parent is None else parent
    if wanted <= 1:
        return False
    if (os.getpid(), wanted) not in _awaited:
        _awaited.add((os.getpid(), wanted))
        end_after(partial(_wait_for, wanted))
    return True


def end_after(wait: Callable[[], object]) -> None:
    """Have this process sent SIGTERM when `wait`, called on a thread of its own, returns."""
    start_unsignalled(partial(_end_after, wait))  # what a program has blocked is to stay so


def _end_after(wait: Callable[[], object]) -> None:
    wait()
    terminate_once()


def terminate_once() -> None:
    """Send this process SIGTERM, unless it was sent one because of whoever else has ended.

    A second one would kill it in the middle of its handlers.
    """
    mine = object()
    # In one step, as threads that wait for two parents may come here at once.
    if _signalled.setdefault(os.getpid(), mine) is mine:
        os.kill(os.getpid(), signal.SIGTERM)


def _wait_for(pid: int) -> None:
    wait_until_dead(pid, lambda: pids.descends_from(os.getpid(), pid))


def wait_until_dead(pid: int, is_alive: Callable[[], bool]) -> None:
    """Wait for the end of the process `pid`.

    Args:
        pid: its number.
        is_alive: asked when that number is held: whether it still is who was meant.
    """
    held = hold_if(pid, is_alive)
    if held is not None:
        try:
            wait_for_ends([held], None)
        finally:
            os.close(held)
