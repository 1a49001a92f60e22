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

# Whether this process is one; `None` until somebody asks.
_is_one: bool | None = None
# What its children are to do once they have begun.
_deferred: list[Callable[[], object]] = []
# What the main script has set up while the server imported it.
_of_main: list[object] = []


def is_forkserver() -> bool:
    """Whether this process is the fork server of a package, not a child of it."""
    global _is_one
    if _is_one is None:
        # A subinterpreter of a child has the server's command line too, and modules of its own.
        _is_one = in_main_interpreter() and any(map(_runs_server_of, PACKAGES))
    return _is_one


def _runs_server_of(package: str) -> bool:
    argv = sys.orig_argv
    code = argv[argv.index("-c") + 1 :][:1] if "-c" in argv else []
    if not code or f"from {package}.forkserver import main; main(" not in code[0]:
        return False
    # A child of the server has its command line too, but also the descriptor by which the
    # server learns that it has ended.
    module: Any = sys.modules.get(f"{package}.forkserver")
    server = getattr(module, "_forkserver", None)
    return getattr(server, "_forkserver_alive_fd", None) is None


def note(what: object) -> None:
    """In the fork server: remember this, if the main script itself has set it up."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") != _MAIN:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return  # a module did, while it was imported
        frame = frame.f_back
    if frame.f_back is not None:
        _of_main.append(what)


def is_void(what: object) -> bool:
    """Whether this comes from a main script that the server could not import to its end.

    From Python 3.15 a server goes on without it then, and each child imports it anew.
    """
    imported = getattr(sys.modules.get("__main__"), "__name__", "") == _MAIN
    return not imported and any(what is one for one in _of_main)


def became_child() -> None:
    """This process was forked: it is no fork server, whatever its parent is."""
    global _is_one
    _is_one = False
    _deferred[:] = [call for call in _deferred if not is_void(call)]


def defer(call: Callable[[], object]) -> None:
    """Have `call` called in each child of this fork server, once that has begun."""
    _deferred.append(call)
    note(call)


def take_deferred() -> list[Callable[[], object]]:
    """In the child: what is to be called, each time only what is new."""
    taken = _deferred[:]
    del _deferred[: len(taken)]
    return taken
