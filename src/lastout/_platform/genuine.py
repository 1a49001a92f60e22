"""Genuine modules: those of the system, where gevent or eventlet has put its own in their place.

Monkey-patching replaces what blocks in the standard library by what lets other
greenlets of the same thread run: a thread becomes a greenlet, a lock one that only the
loop of its thread can pass on, and `select.poll` is gone (eventlet).  What lastout does
has to go on while that loop does not: a program that computes, one that ends, a fork.

    poll, threads, locks, sleeping    genuine: the whole thread waits
    reentrant locks                   those of `_thread`, which nobody replaces
    programs of our own               by a copy of `subprocess`: gevent sees children end by
                                      its loop only, and empties the module of what it does
    what users get (`scope.popen`)    whatever they have, so greenlet-friendly
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_EVENTLETS = {"threading": "thread"}  # what eventlet calls them
_subprocess: Any = None


class UnpatchedModule:
    """A module as it was before it was patched, if it was; looked up anew for each use.

    Args:
        name: the name of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return _original(self._name, name)


def _original(module: str, name: str) -> Any:
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent and gevent.is_object_patched(module, name):
        return gevent.get_original(module, name)
    eventlet: Any = sys.modules.get("eventlet.patcher")
    # `os` has many names, and eventlet replaces few: to load a second one would be long.
    source: Any = __import__("posix" if module == "os" and "posix" in sys.modules else module)
    if module != "os" and eventlet and eventlet.already_patched:
        source = eventlet.original(module)
    return getattr(source if hasattr(source, name) else __import__(module), name)


def in_main_thread() -> bool:
    """Whether this is the main thread of its process, whichever greenlet of it."""
    import threading

    if threading.current_thread() is threading.main_thread():
        return True
    # For each greenlet they have a "thread".  On Linux the first one has the process's number.
    return is_patched("threading") and threading.get_native_id() == os.getpid()


def loses_statuses() -> bool:
    """Whether gevent's loop, on another thread, may wait for the children of this one."""
    gevent: Any = sys.modules.get("gevent.monkey")
    return bool(gevent and gevent.is_object_patched("os", "waitpid")) and not in_main_thread()


def is_patched(module: str) -> bool:
    """Whether gevent or eventlet has put something of its own into a module."""
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent and gevent.is_module_patched(module):
        return True
    eventlet: Any = sys.modules.get("eventlet.patcher")
    return bool(eventlet and eventlet.is_monkey_patched(_EVENTLETS.get(module, module)))


def subprocess() -> Any:
    """The module `subprocess`, or where it is patched a copy of our own that is not."""
    global _subprocess
    import subprocess as found

    if not is_patched("subprocess"):
        return found
    if _subprocess is None:
        _subprocess = _copy_of(found)
    return _subprocess


def _copy_of(module: Any) -> Any:
    from importlib.util import module_from_spec

    copy: Any = module_from_spec(module.__spec__)
    module.__spec__.loader.exec_module(copy)
    for name in ("os", "select", "threading", "time"):
        setattr(copy, name, UnpatchedModule(name))
    return copy
