"""Ending: what has to come after the children of multiprocessing have ended.

A pool that is still open at a normal end is ended by multiprocessing, by SIGTERM.  Where that
comes after our exit handlers, because the package was imported first, somebody has to be there
still to clean up after the workers:

    atexit:  registry.end      our handlers; what puts itself off stays on the stack
             others' functions
             _exit_function    the package ends its daemons, joins the rest, and last of all
                               calls registry.end, which is a finalizer too: what was put off

`unwind()` and the end by a signal put nothing off: there nobody would come back.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import get_ident
from contextlib import suppress

from . import on_normal_end, registry
from .children import finalizes, loaded_packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

_NEARLY_FIRST = 10**9 - 1  # the priority of a finalizer that runs before others' begin
_put_off: list[Callable[[], object]] = []
_ending: set[int] = set()  # the threads on which this process comes to its normal end
_guards: dict[str, tuple[int, Any]] = {}


def hook_up() -> None:
    """From now on `put_off` can be called at the end of this process."""
    if not on_normal_end:
        on_normal_end.append(_end)


def put_off(call: Callable[[], object]) -> bool:
    """Have `call` called, as an exit handler, when the packages have ended their children.

    Returns:
        Whether it will be; if not, there is nothing to wait for.
    """
    if get_ident() not in _ending:
        return False
    packages = _packages_to_come()
    for name, util in packages.items():
        _guard(name, util)
    if packages:
        _put_off.append(call)
    return bool(packages)


def _end() -> bool:
    """Run every handler; whether that was all, or a package comes back here."""
    _ending.add(get_ident())
    try:
        registry._run_exitfuncs()
        while _put_back():
            if _packages_to_come():
                return False
            registry._run_exitfuncs()
        return True
    finally:
        _ending.discard(get_ident())


def _put_back() -> bool:
    # On the stack before it is off the list: a signal may come, and end the process.
    calls = _put_off[:]
    for call in reversed(calls):
        registry.register(call)
    del _put_off[: len(calls)]
    return bool(calls)


def _packages_to_come() -> dict[str, Any]:
    """The packages that have children to end, and call `registry.end` when they have."""
    return {
        name: util
        for name, util in loaded_packages()
        if finalizes(name) and not util._exiting and _has_children(name) and _will_exit(util)
    }


def _has_children(name: str) -> bool:
    return bool(_children(name))


def _children(name: str) -> Collection[Any]:
    process: Any = sys.modules[f"{name}.process"]
    return process.active_children()  # type: ignore[no-any-return]


def daemons() -> set[int]:
    """The pids of the children that a package ends at the end of this process."""
    return {one.pid for name, _ in loaded_packages() for one in _children(name) if one.daemon}


def _will_exit(util: Any) -> bool:
    """Whether `atexit` calls the package: a program may have taken it out."""
    listed = _AtexitProbe()
    with suppress(Exception):  # what an `__eq__` of somebody's callable raises
        atexit.unregister(listed)  # type: ignore[arg-type]
    return any(one is util._exit_function for one in listed.callables)


class _AtexitProbe:
    """Equal to nothing, and remembers what it was compared with: all that `atexit` has."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.callables: list[object] = []

    def __eq__(self, other: object) -> bool:
        self.callables.append(other)
        return False


def _guard(name: str, util: Any) -> None:
    """See to it that what is put off is called even if the package is interrupted.

    Ctrl-C while it joins a child, or a child that it may not signal: its finalizers do not
    run then, nor do we.
    """
    pid, guard = _guards.get(name, (0, None))
    if pid != os.getpid() or guard is None or not guard.still_active():
        guard = util.Finalize(None, _exit_guarded, (util,), exitpriority=_NEARLY_FIRST)
        _guards[name] = os.getpid(), guard


def _exit_guarded(util: Any) -> None:
    """The package's `_exit_function` has just begun: have it do its work from within here."""
    util._exiting = False
    try:
        util._exit_function()
    except BaseException as error:
        registry.end()
        if not isinstance(error, Exception):
            raise
        # The package goes on where it was, and meets the same error.
