"""Ending: handlers that have to run after the children of multiprocessing have ended.

At a normal end multiprocessing ends a pool that is still open, by SIGTERM.  If the package was
imported first, it does so after the exit handlers, so a handler that cleans up after workers
puts itself off:

    atexit:  registry.end      exit handlers run; a handler that puts itself off is kept
             other functions
             _exit_function    the package ends its daemons, joins the rest, and last of all
                               calls registry.end, which is a finalizer too: kept handlers run

`unwind()` and the end by a signal put nothing off, because `registry.end` is not called again.

Tested by: tests/shared/test_ending.py
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

_NEARLY_FIRST = 10**9 - 1  # priority: after `children._FIRST`, before all other finalizers
_put_off: list[Callable[[], object]] = []
_ending: set[int] = set()  # the threads on which this process comes to its normal end
_guards: dict[str, tuple[int, Any]] = {}


def hook_up() -> None:
    """Make `put_off` work at the end of this process."""
    if not on_normal_end:
        on_normal_end.append(_end)


def put_off(call: Callable[[], object]) -> bool:
    """Have `call` called, as an exit handler, when the packages have ended their children.

    Returns:
        Whether it will be called; `False` if no package has children to end.
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
    """Run every handler; `False` if some are put off until a package calls `registry.end`."""
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
    # Registered before it leaves the list, because a signal in between may end the process.
    calls = _put_off[:]
    for call in reversed(calls):
        registry.register(call)
    del _put_off[: len(calls)]
    return bool(calls)


def _packages_to_come() -> dict[str, Any]:
    """The packages that have children to end, and call `registry.end` after that."""
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
    """Whether `atexit` calls the package; a program may have unregistered it."""
    listed = _AtexitProbe()
    with suppress(Exception):  # the `__eq__` of a registered callable raised
        atexit.unregister(listed)  # type: ignore[arg-type]
    return any(one is util._exit_function for one in listed.callables)


class _AtexitProbe:
    """Equals nothing and records what it is compared with: every callable of `atexit`."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.callables: list[object] = []

    def __eq__(self, other: object) -> bool:
        self.callables.append(other)
        return False


def _guard(name: str, util: Any) -> None:
    """Have put-off handlers called even if the package's exit function raises.

    It raises on Ctrl-C while it joins a child, or for a child that it may not signal.  Then
    its finalizers do not run, and `registry.end` is one of them.
    """
    pid, guard = _guards.get(name, (0, None))
    if pid != os.getpid() or guard is None or not guard.still_active():
        guard = util.Finalize(None, _exit_guarded, (util,), exitpriority=_NEARLY_FIRST)
        _guards[name] = os.getpid(), guard


def _exit_guarded(util: Any) -> None:
    """Called as `_exit_function` begins: call it again here, where its exceptions are caught."""
    util._exiting = False
    try:
        util._exit_function()
    except BaseException as error:
        registry.end()
        if not isinstance(error, Exception):
            raise
        # Not raised here: the outer `_exit_function` goes on, and meets the same error.
