"""Fork server: a process that only forks others, so what it registers is for its children.

multiprocessing starts one for `forkserver`, the default start method on Linux from Python
3.14.  It imports what it was told to preload, from 3.13.8 and 3.14.1 on the main script too,
and forks each child with all of that loaded:

    fork server    module level: register(), handle_signals(), Scope()    nothing runs here
        | fork
    child          has all of it, as a spawned child that imports those modules itself

Which process is one is read off its command line: that is known before anything is imported,
so also where `sitecustomize` imports lastout.
"""

from __future__ import annotations

import sys

from .._platform import in_main_interpreter
from . import PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAIN = "__mp_main__"  # what a child, and a fork server, calls the main script
_WITH_ARGUMENT = ("-W", "-X", "--check-hash-based-pycs")  # options of Python's command line

# Whether this process is one; `None` until somebody asks.
_is_one: bool | None = None
# What its children are to do once they have begun.
_deferred: list[Callable[[], object]] = []
# What was set up while a module was imported, and the name of that module.
_noted: list[tuple[object, str]] = []


def is_forkserver() -> bool:
    """Whether this process is the fork server of a package, not a child of it."""
    global _is_one
    if _is_one is None:
        # A subinterpreter of a child has the server's command line too, and modules of its own.
        _is_one = in_main_interpreter() and any(map(_runs_server_of, PACKAGES))
    return _is_one


def _runs_server_of(package: str) -> bool:
    if f"from {package}.forkserver import main; main(" not in _command(sys.orig_argv):
        return False
    # A child of the server has its command line too, but also the descriptor by which the
    # server learns that it has ended.
    module: Any = sys.modules.get(f"{package}.forkserver")
    server = getattr(module, "_forkserver", None)
    return getattr(server, "_forkserver_alive_fd", None) is None


def _command(argv: list[str]) -> str:
    """The code that `python -c` was given; empty where it runs something else."""
    rest = iter(argv[1:])
    for word in rest:
        if word == "-c":
            return next(rest, "")
        if word in _WITH_ARGUMENT:
            next(rest, None)
        elif not word.startswith("-") or word in ("-", "-m"):
            break
    return ""


def forks_child() -> bool:
    """Asked in a hook before a fork: whether a fork server makes one of its children.

    A module that it imports may fork for itself: that child has no part in what is registered.
    """
    if not is_forkserver():
        return False
    caller = sys._getframe(1).f_back  # whom the hook interrupts: it has called `os.fork`
    servers = [f"{package}.forkserver" for package in PACKAGES]
    return caller is not None and caller.f_globals.get("__name__") in servers


def note(what: object) -> None:
    """In the fork server: remember which module is being imported while this is set up."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            _noted.append((what, frame.f_globals.get("__name__", "")))
            return
        frame = frame.f_back


def is_void(what: object) -> bool:
    """Whether this comes from a module that the server could not import to its end.

    Each child that needs it imports it anew.  From Python 3.15 a server goes on without the
    main script as well.
    """
    return any(what is one and not _is_imported(name) for one, name in _noted)


def _is_imported(name: str) -> bool:
    if name == _MAIN:
        return getattr(sys.modules.get("__main__"), "__name__", "") == _MAIN
    return name in sys.modules


def became_child(is_heir: bool) -> None:
    """This process was forked: it is no fork server, whatever its parent is."""
    global _is_one
    _is_one = False
    _deferred[:] = [call for call in _deferred if is_heir and not is_void(call)]
    _noted.clear()


def defer(call: Callable[[], object]) -> None:
    """Have `call` called in each child of this fork server, once that has begun."""
    _deferred.append(call)
    note(call)


def take_deferred() -> list[Callable[[], object]]:
    """In the child: what is to be called, each time only what is new."""
    taken = _deferred[:]
    del _deferred[: len(taken)]
    return taken
