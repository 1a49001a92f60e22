"""UnpatchedModule: the standard library as it was before gevent or eventlet patched it.

Monkey-patching replaces blocking functions of the standard library, so that other
greenlets of the same thread can run: a thread becomes a greenlet, only the loop of its
thread can pass on a lock, and `select.poll` is gone (eventlet).  lastout has to work
while that loop stands still: the program computes, ends or forks.

    poll, threads, locks, sleeping     genuine: the whole thread waits
    reentrant locks                    from `_thread`, which neither replaces
    programs that lastout starts       by a copy of `subprocess`, because gevent notices the end
                                       of children by its loop only, and removes functions
    objects for users (`scope.popen`)  as patched, so greenlet-friendly

Tested by: tests/integrations/test_greenlets.py
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_EVENTLETS = {"threading": "thread"}  # eventlet's names of modules
_subprocess: Any = None


class UnpatchedModule:
    """A module as it was before it was patched, if at all; each use looks the name up anew.

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
    # Not a second `os`, because loading one takes long, and eventlet replaces few of its names.
    source: Any = __import__("posix" if module == "os" and "posix" in sys.modules else module)
    if module != "os" and eventlet and eventlet.already_patched:
        source = eventlet.original(module)
    return getattr(source if hasattr(source, name) else __import__(module), name)


def in_main_thread() -> bool:
    """Whether this is the main thread of its process, in any greenlet."""
    import threading

    if threading.current_thread() is threading.main_thread():
        return True
    # A patched `threading` has a "thread" for each greenlet, so compare the thread ids of the
    # kernel: on Linux the main thread has the process's.
    return is_patched("threading") and threading.get_native_id() == os.getpid()


def loses_statuses() -> bool:
    """Whether gevent's loop, on another thread, may wait for children that this thread starts."""
    gevent: Any = sys.modules.get("gevent.monkey")
    return bool(gevent and gevent.is_object_patched("os", "waitpid")) and not in_main_thread()


def is_patched(module: str) -> bool:
    """Whether gevent or eventlet has patched a module."""
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent and gevent.is_module_patched(module):
        return True
    eventlet: Any = sys.modules.get("eventlet.patcher")
    return bool(eventlet and eventlet.is_monkey_patched(_EVENTLETS.get(module, module)))


def subprocess() -> Any:
    """The module `subprocess`, or an unpatched copy if it is patched."""
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
