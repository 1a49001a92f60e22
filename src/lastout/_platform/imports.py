"""Importing: on first use with no fork in the middle, now what would be later, and by which name.

    thread 1:  load("m")  ==== imports m ====>
    thread 2:       os.fork()  ....waits....  | fork
    child:                                       has m whole

A child that is forked while another thread imports a module can never have that
module: whoever imports it there waits for a thread that the child does not have.
"""

from __future__ import annotations

import _thread
import os
import sys

from . import HAS_FORK, in_main_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, Final, TypeVar

    T = TypeVar("T")

# What stands for a lazy import (PEP 810) in the names of a module, until it is used.
LazyImportType: Any = None
if sys.version_info >= (3, 15):
    # Not from `types`, which loads slowly.
    import _types  # type: ignore[import-not-found,unused-ignore]

    LazyImportType = _types.LazyImportType

# Long enough for an import, and an end for who waits while somebody is stuck in a
# module, or in a hook of others.  Going on without it risks what was so without us.
_PATIENCE: Final = 5.0  # seconds

_importing = _thread.RLock()
_loaded: dict[str, ModuleType] = {}
_follows_forks = _follows_logging = False


def load_now(*packages: str) -> None:
    """Load what loaded modules of these packages have imported lazily (PEP 810), and so on in them.

    A lazy import loads when one of its names is first used.  For what runs in a fork
    or when a process ends that may be too late: there are no descriptors left, the
    directory of the modules is gone, the interpreter imports nothing any more.

    Args:
        packages: names of packages, or of modules.

    Raises:
        ImportError, OSError: one cannot be loaded.
    """
    if LazyImportType is None:
        return
    within = tuple(f"{package}." for package in packages)
    seen: set[str] = set()
    while new := [
        name for name in {*sys.modules} - seen if name in packages or name.startswith(within)
    ]:
        seen.update(new)
        for module in map(sys.modules.__getitem__, new):
            for name, value in list(vars(module).items()):
                if type(value) is LazyImportType:
                    getattr(module, name)  # the value in the place of its stand-in


def load(name: str, needs_logging: bool = False) -> ModuleType:
    """Import a module, while no other thread of this process forks.

    Args:
        name: its whole name.
        needs_logging: whether it, or what it imports, uses `logging`.  That holds a lock
            of its own while the process forks; hooks before a fork are called last set
            first, so it has to have set its hook before we set ours.

    Raises:
        ImportError, OSError: it cannot be loaded.
    """
    module = _loaded.get(name)
    if module is None:
        if needs_logging:
            import logging  # noqa: F401
        module = _loaded[name] = without_forks(lambda: _import(name))
    return module


def without_forks(imports: Callable[[], T]) -> T:
    """Call `imports`, while no other thread of this process forks."""
    _follow_forks()
    importing = _importing
    try:  # not `with`: Ctrl-C may come between the taking of a lock and its block
        importing.acquire(timeout=_PATIENCE)
        return imports()
    finally:
        _release(importing)


def public(thing: T) -> T:
    """Have a class or function say that it is of `lastout`, where everybody finds it.

    A pickle names what it is of, and one in a journal outlives this version: the next one may
    have its files elsewhere, but what is called `lastout.Scope` now will be then.  So will its
    methods, those too that stand in classes which are only parts of it.
    """
    home = __name__.partition(".")[0]
    thing.__module__ = home
    parts = [base for base in getattr(thing, "__mro__", ()) if base.__module__.startswith(home)]
    for name, value in [member for part in parts for member in vars(part).items()]:
        if type(value) is type(public):
            value.__module__ = home
            value.__qualname__ = f"{thing.__qualname__}.{name}"  # type: ignore[attr-defined]
    return thing


def moved(name: str, to: str) -> None:
    """Have `name` mean the module that is called `to` now.

    For what stands where a module was, for one release: journals of the version before name
    it, and so do programs that were started with that::

        moved(__name__, "lastout.elsewhere")
    """
    sys.modules[name] = load(to)


def _import(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def _follow_forks() -> None:
    global _follows_forks, _follows_logging
    has_logging = "logging" in sys.modules
    if _follows_forks and (_follows_logging or not has_logging):
        return
    if HAS_FORK and in_main_interpreter():
        os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
        _follows_forks, _follows_logging = True, has_logging


def _before() -> None:
    _importing.acquire(timeout=_PATIENCE)


def _in_parent() -> None:
    _release(_importing)


def _in_child() -> None:
    global _importing
    _importing = _thread.RLock()


def _release(importing: _thread.RLock) -> None:
    try:  # noqa: SIM105  contextlib takes long to import
        importing.release()
    except RuntimeError:  # we did not get it in time
        pass
