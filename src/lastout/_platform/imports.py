"""Importing: without a fork in the middle, before it is too late, and under lasting names.

    thread 1:  load("m")  ==== imports m ====>
    thread 2:       os.fork()  ....waits....  | fork
    child:                                       has m whole

A child that is forked while another thread imports a module can never import that
module, because the import waits for a thread that the child does not have.

Tested by: tests/test_imports.py, tests/process/test_lazy_imports.py, tests/shared/test_upgrades.py
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

# The type of the placeholder for a lazy import (PEP 810) in the globals of a module.
LazyImportType: Any = None
if sys.version_info >= (3, 15):
    # Not from `types`, which loads slowly.
    import _types  # type: ignore[import-not-found,unused-ignore]

    LazyImportType = _types.LazyImportType

# Long enough for an import, but limited, because an import, or a fork hook of the program, may
# hang.  Going on without the lock risks no more than the program would without lastout.
_PATIENCE: Final = 5.0  # seconds

_importing = _thread.RLock()
_loaded: dict[str, ModuleType] = {}
_follows_forks = _follows_logging = False


def load_now(*packages: str) -> None:
    """Load the lazy imports (PEP 810) of the loaded modules of these packages, recursively.

    A lazy import loads at the first use of a name.  For code that runs in a fork or when
    a process ends that may be too late: no descriptors are left, the directory of the
    modules has been removed, or the interpreter imports nothing any more.

    Args:
        packages: names of packages, or of modules.

    Raises:
        ImportError, OSError: a module cannot be loaded.
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
                    getattr(module, name)  # puts the module in the place of its placeholder


def load(name: str, needs_logging: bool = False) -> ModuleType:
    """Import a module, while no other thread of this process forks.

    Args:
        name: its whole name.
        needs_logging: whether the module, or a module that it imports, uses `logging`.
            `logging` holds a lock of its own while the process forks.  Hooks before a fork
            are called last set first, so `logging` has to set its hook before lastout does.

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
    try:  # not `with`, because Ctrl-C may come after it takes the lock and before its block
        importing.acquire(timeout=_PATIENCE)
        return imports()
    finally:
        _release(importing)


def public(thing: T) -> T:
    """Set the module of a class or function, and of its methods, to `lastout`.

    A pickle refers to a class by its module, and a pickle in a journal outlives this version:
    the next version may have moved the file, but `lastout.Scope` will still be there.  The
    same holds for methods, so methods of base classes in lastout are set as well.
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
    """Make `name` an alias of the module that is called `to` now.

    A file under the former name of a module calls this, for one release, because journals and
    running programs of the version before refer to the former name::

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
    except RuntimeError:  # this thread did not get the lock in time
        pass
