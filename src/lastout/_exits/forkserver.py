"""Fork server: a process that only forks children, so it registers handlers for its children.

multiprocessing starts a fork server for `forkserver`, the default start method on Linux from
Python 3.14.  The server imports the modules that it is told to preload, from 3.13.8 and 3.14.1
on the main script too, and forks each child with all of them loaded:

    fork server    module level: register(), handle_signals(), Scope()    nothing runs here
        | fork
    child          has all of it, as a spawned child that imports these modules itself

lastout recognizes a fork server by its command line, because that is known before any import,
so even when `sitecustomize` imports lastout.

Tested by: tests/process/test_forkserver.py, tests/shared/test_forkserver.py
"""

from __future__ import annotations

import sys

from .._platform import in_main_interpreter
from . import PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAIN = "__mp_main__"  # the name of the main script in a child, and in a fork server
_WITH_ARGUMENT = ("-W", "-X", "--check-hash-based-pycs")  # options of Python's command line

# Whether this process is a fork server; `None` until the first call of `is_forkserver`.
_is_one: bool | None = None
# Calls that each child makes once it has begun.
_deferred: list[Callable[[], object]] = []
# Each thing set up while a module was being imported, and the name of that module.
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
    """The code given to `python -c`; empty if Python runs a script or a module."""
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
    """In a hook before a fork, whether a fork server is making one of its children.

    A module that the server imports may fork for itself; such a child does not inherit the
    registered handlers.
    """
    if not is_forkserver():
        return False
    caller = sys._getframe(1).f_back  # the function that called `os.fork`
    servers = [f"{package}.forkserver" for package in PACKAGES]
    return caller is not None and caller.f_globals.get("__name__") in servers


def note(what: object) -> None:
    """In the fork server, record which module is being imported while `what` is set up."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            _noted.append((what, frame.f_globals.get("__name__", "")))
            return
        frame = frame.f_back


def is_void(what: object) -> bool:
    """Whether `what` was set up by a module whose import failed in the server.

    A child that needs the module imports it anew, and sets `what` up itself.  From Python 3.15
    a server also goes on after a failed import of the main script.
    """
    return any(what is one and not _is_imported(name) for one, name in _noted)


def _is_imported(name: str) -> bool:
    if name == _MAIN:
        return getattr(sys.modules.get("__main__"), "__name__", "") == _MAIN
    return name in sys.modules


def became_child(is_heir: bool) -> None:
    """In a forked child, record that this process is no fork server, even if its parent is."""
    global _is_one
    _is_one = False
    _deferred[:] = [call for call in _deferred if is_heir and not is_void(call)]
    _noted.clear()


def defer(call: Callable[[], object]) -> None:
    """Have `call` called in each child of this fork server, once the child has begun."""
    _deferred.append(call)
    note(call)


def take_deferred() -> list[Callable[[], object]]:
    """In a child, take the deferred calls off the list."""
    taken = _deferred[:]
    del _deferred[: len(taken)]
    return taken
