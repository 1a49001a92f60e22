"""Parent: have this process end when its parent does, even if that is not a Python program.

    the parent dies ==> the kernel wakes a thread ==> SIGTERM to this process, once

The thread waits for a descriptor of the parent (pidfd), so it does not poll.  Linux has
PR_SET_PDEATHSIG for this, but sends it when the *thread* ends that started the process.

Tested by: tests/process/test_parent.py
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

# The waits of this process for another, and whether it was sent the signal.  Both hold the pid
# of this process, because a forked child has no waiting thread and was not sent a signal.
_awaited: set[tuple[int, int]] = set()
_signalled: dict[int, object] = {}


@public
def end_with_parent(parent: int | None = None) -> bool:
    """Have this process sent SIGTERM when its parent ends, whatever program that is.

    For a server that talks through its standard input, a program under `subprocess` or
    under a shell: any program that should not stay behind when its client is killed.  Call
    `handle_signals` too, so that exit handlers run.  Children that this process forks
    call `end_with_parent` for themselves.

    If the parent has ended before the call, the process has a new parent by then, and the
    former parent cannot be known.  So have the parent pass its pid, for example as an
    argument: then SIGTERM comes at once.

    Args:
        parent: the pid of the process to end with, if known: the parent of this process, or
            a process further up.

    Returns:
        `False` if there is no process to end with, because process 1 started this process,
        or a process outside of the container that this process is in.

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
    start_unsignalled(partial(_end_after, wait))  # signals that the program blocks stay blocked


def _end_after(wait: Callable[[], object]) -> None:
    wait()
    terminate_once()


def terminate_once() -> None:
    """Send this process SIGTERM, unless this function has sent it before.

    Only once, because a second SIGTERM would kill the process in the middle of its handlers.
    """
    mine = object()
    # In one step, because threads that wait for two parents may call this at once.
    if _signalled.setdefault(os.getpid(), mine) is mine:
        os.kill(os.getpid(), signal.SIGTERM)


def _wait_for(pid: int) -> None:
    wait_until_dead(pid, lambda: pids.descends_from(os.getpid(), pid))


def wait_until_dead(pid: int, is_alive: Callable[[], bool]) -> None:
    """Wait for the end of the process `pid`.

    Args:
        pid: its number.
        is_alive: whether the number still means that process; called once a pidfd is open.
    """
    held = hold_if(pid, is_alive)
    if held is not None:
        try:
            wait_for_ends([held], None)
        finally:
            os.close(held)
