"""Children: each child process gets a registry of its own that runs when it ends.

A child can begin by any start method and end in many ways, and no single hook sees all of them:

    how a child begins            how lastout notices
    os.fork                       os.register_at_fork
    fork, forkserver (packages)   ... and then their after-fork callbacks, because
                                  `_bootstrap` drops the finalizers made before it
    spawn, forkserver, loky       `carrier`, for what the child inherits

    how a process ends            which hook runs the handlers
    the interpreter's end         atexit
    `os._exit` of a package       its `Finalize` with the lowest priority

So all of these hooks call the same function, `registry.end`: the first call runs the
handlers, and later calls find no handlers left.  "The packages" are multiprocessing
and multiprocess, when they are loaded; this module never imports them.  In a
subinterpreter only atexit is hooked, which CPython runs at its end.  In a fork server
none of them is, because handlers registered there are for its children (see `forkserver`).

Tested by: tests/process/test_children.py, tests/process/test_inheriting.py
"""

from __future__ import annotations

import atexit
import os
import sys

from .._platform import HAS_FORK, in_main_interpreter, show_unraisable
from .._platform.imports import load
from . import PACKAGES, before_end, call_all, forkserver, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

# The priorities by which a finalizer runs before, or after, all other finalizers.
_FIRST, _LAST = 10**9, -(10**9)
_noticing = False
# In the child of the latest fork: whether the registry, and every follower, was told of it.
_told = _ready = False
# Whether the latest fork makes a child of a fork server; known before and after the fork.
_is_heir = False
_followers: list[tuple[Callable[[], object], Callable[[], object], Callable[[], object]]] = []
_called_back_by: set[str] = set()
_finalizers: dict[str, tuple[int | None, Any]] = {}


def follow_forks(
    before: Callable[[], object], in_parent: Callable[[], object], in_child: Callable[[], object]
) -> None:
    """Call these three functions around each fork of this process, from now on.

    `before` is called last subscribed first, `in_parent` and `in_child` in order of
    subscription, `in_child` after the registry was told.  Their exceptions are shown
    and do not stop the fork.  If Ctrl-C comes in the middle, `in_child` may be called
    a second time.
    """
    _notice_forks()
    if _noticing and not _followers:
        os.register_at_fork(before=_before, after_in_parent=_in_parent)
    _followers.append((before, in_parent, in_child))


def follow_end(call: Callable[[], object]) -> None:
    """Call this when the interpreter begins to end, before threads are joined."""
    before_end.append(call)
    load("lastout._exits.before_threads")
    _hook_before_threads()


def arm() -> None:
    """Have every hook that exists in this process now call `registry.end`."""
    if forkserver.is_forkserver():
        _notice_forks()
        _call_back_after_bootstraps()
        return
    _take_out_of_atexit()
    # Twice: the exception of a pending signal would come out of its very first
    # instruction, and the second call finds nothing to do.
    atexit.register(registry.end)
    atexit.register(registry.end)
    if in_main_interpreter():
        _notice_forks()
        _call_back_after_bootstraps()
        _finalize_last()


def _take_out_of_atexit() -> None:
    """Take `registry.end` out of `atexit`, so that registered anew it runs first again."""
    try:
        atexit.unregister(registry.end)
    except Exception:  # `atexit` compares with every callable, and the `__eq__` of one raised
        return


def loaded_packages() -> Iterator[tuple[str, Any]]:
    """The name of each package that is loaded, and its `util` module."""
    for name in PACKAGES:
        util = sys.modules.get(f"{name}.util")
        # A module that another thread is importing right now is not complete.
        if hasattr(util, "Finalize") and hasattr(util, "register_after_fork"):
            yield name, util


def _call_back_after_bootstraps() -> None:
    for name, util in loaded_packages():
        if name not in _called_back_by:
            _called_back_by.add(name)  # kept across forks, as the package keeps its callbacks
            util.register_after_fork(_after_bootstrap, _after_bootstrap)


def finalizes(name: str) -> bool:
    """Whether a package calls `registry.end` when it has ended the children of this process."""
    pid, finalizer = _finalizers.get(name, (None, None))
    return pid == os.getpid() and bool(finalizer.still_active())


def _finalize_last() -> None:
    for name, util in loaded_packages():
        if not finalizes(name):
            # Up to Python 3.12 a child runs finalizers, and joins its children, before its threads.
            util.Finalize(None, run_before_threads, exitpriority=_FIRST)
            _finalizers[name] = os.getpid(), util.Finalize(None, registry.end, exitpriority=_LAST)


def _after_bootstrap(_: object) -> None:
    """Set the hooks again: a package began its child by dropping finalizers (3.13: atexit too)."""
    arm()
    if _is_heir:
        _guarded(registry.begin_as_heir)
        _guarded(_hook_before_threads)
        for call in forkserver.take_deferred():
            _guarded(call)


def do_in_children(call: Callable[[], object]) -> None:
    """In a fork server, have `call` called in each child, once its package has begun it.

    Not earlier, because beginning a child the package restores the signal handlers and the
    wakeup descriptor that were set before it became a server.
    """
    forkserver.defer(call)
    arm()


def _notice_forks() -> None:
    # Only once, because at-fork hooks cannot be removed.
    global _noticing
    if not _noticing and HAS_FORK and in_main_interpreter():
        _noticing = True
        # Twice, because a Ctrl-C at its first instruction skips a hook: CPython only shows it.
        os.register_at_fork(before=_expect_child, after_in_child=_in_child)
        os.register_at_fork(after_in_child=_in_child)


def _expect_child() -> None:
    # Not by its process id, because the first processes of two namespaces have the same.
    global _told, _ready, _is_heir
    _told = _ready = False
    _is_heir = forkserver.forks_child()


def _in_child() -> None:
    global _told, _ready
    if not _told:
        registry.forked(keep=_is_heir)
        forkserver.became_child(_is_heir)
        _told = True
    for name in PACKAGES:
        if name not in _called_back_by and f"{name}.util" in sys.modules:
            _guarded(_call_back_after_bootstraps)  # imported since the last registration
    has_handlers = _is_heir or registry.is_inheriting()
    if (_followers or has_handlers) and not _ready:
        done = [_guarded(in_child) for _, _, in_child in _followers]
        if has_handlers:
            done.append(_guarded(arm))
        if all(done):  # else Ctrl-C may have interrupted a call, and the second hook tries again
            _ready = True


def _before() -> None:
    for before, _, _ in reversed(_followers):
        _guarded(before)


def _in_parent() -> None:
    for _, in_parent, _ in _followers:
        _guarded(in_parent)


def _guarded(call: Callable[[], object]) -> bool:
    """Call `call` and show its exception, if any; returns whether there was none."""
    try:
        call()
    except BaseException as error:
        show_unraisable(error, call)
        return False
    return True


def install_carriers() -> None:
    """A handler that children inherit was registered: have each child get it."""
    load("lastout._exits.carrier")  # seldom needed
    from .carrier import install

    install()


def prepare_before_threads() -> None:
    """A handler was registered that runs before threads are joined: have the end run it then."""
    load("lastout._exits.before_threads")  # seldom needed
    from .before_threads import split

    split(registry._stack)
    _hook_before_threads()


def _hook_before_threads() -> None:
    if (module := _before_threads()) is not None and not forkserver.is_forkserver():
        module.hook_up(run_before_threads)


def run_before_threads() -> None:
    """Run the early handlers, because threads are about to be joined; raises nothing."""
    _guarded(_tell_of_end)
    if (module := _before_threads()) is not None:
        _guarded(lambda: module.run(registry._stack))


def _tell_of_end() -> None:
    call_all(before_end)


def _before_threads() -> Any:
    """The module `before_threads` if it is loaded."""
    return sys.modules.get("lastout._exits.before_threads")
