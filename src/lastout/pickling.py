"""Naming a function, or pickling it with all that it uses, for a process that comes later.

What a later process can import is referred to by name.  The rest is pickled by
value, with dill: what was defined in the main script, as `__main__` or as the
`__mp_main__` that spawned children call it, and in modules that were made at
run time or found in no place that another process would look.
"""

from __future__ import annotations

import _thread
import sys
import threading
from io import BytesIO, IOBase
from types import BuiltinMethodType, FunctionType, MethodType

import dill

from ._exits import by_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_MAINS: Final = ("__main__", "__mp_main__")
_METHODS: Final = (MethodType, BuiltinMethodType)
_IMMUTABLE_TYPE: Final = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_ONE_OF_A_KIND: Final = (type(threading.Lock()), type(threading.RLock()), IOBase)
_one_at_a_time = _thread.RLock()
_PATIENCE: Final = 1.0  # seconds


def name_of(func: Callable[..., object]) -> str:
    """`module:qualname`, as far as it has them."""
    module, qualname = _address(func)
    return f"{module or type(func).__module__}:{qualname or type(func).__qualname__}"


def can_be_imported(func: Callable[..., object]) -> bool:
    """Whether another process gets this very function by its module and name."""
    module, qualname = _address(func)
    if not isinstance(module, str) or not isinstance(qualname, str):
        return False
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    # A method of a class is another object each time it is looked up.
    same = found is func or (isinstance(func, _METHODS) and found == func)
    return same and module_can_be_imported(module)


def _address(func: Callable[..., object]) -> tuple[str | None, str | None]:
    owner = getattr(func, "__self__", None)
    if isinstance(func, _METHODS) and isinstance(owner, type):
        # An inherited one says the name of the class that defines it.
        return owner.__module__, f"{owner.__qualname__}.{func.__name__}"
    return getattr(func, "__module__", None), getattr(func, "__qualname__", None)


def module_can_be_imported(name: str) -> bool:
    """Whether another process with this `sys.path` would find that same module."""
    loaded = sys.modules.get(name)
    spec = getattr(loaded, "__spec__", None)
    if spec is None or name in _MAINS:
        return False
    parent, path = name.rpartition(".")[0], None
    if parent:
        if not module_can_be_imported(parent):
            return False
        path = getattr(sys.modules[parent], "__path__", None)
    for finder in sys.meta_path:
        found = finder.find_spec(name, path)
        if found is not None:
            return bool(found.origin == spec.origin)
    return False


class _FunctionPickler(by_value.CodePickler):
    """dill's pickler, which by itself takes only `__main__` for what others cannot import."""

    def __init__(self, file: BytesIO, strictly: bool) -> None:
        # Only the globals that a function uses, not those of its whole module.
        super().__init__(file, recurse=True)
        self._strictly = strictly
        self._importable: dict[str, bool] = {"__main__": True}  # dill's own business

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        obj = by_value.loaded(obj)
        if self._strictly and isinstance(obj, _ONE_OF_A_KIND):
            kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
            raise TypeError(f"cannot pickle {kind!r}: a copy would not be the same one")
        if not self._is_homeless(obj):
            super().save(obj, save_persistent_id)
            return
        # It says that it is of `__main__` for as long as it is being pickled.
        home = obj.__module__
        obj.__module__ = "__main__"
        try:
            super().save(obj, save_persistent_id)
        finally:
            obj.__module__ = home

    def _is_homeless(self, obj: Any) -> bool:
        if not isinstance(obj, FunctionType) and (
            not isinstance(obj, type) or obj.__flags__ & _IMMUTABLE_TYPE
        ):
            return False
        home = obj.__module__
        if not isinstance(home, str):
            return False
        if home not in self._importable:
            self._importable[home] = module_can_be_imported(home)
        return not self._importable[home]


def dumps(value: object, strictly: bool = False) -> bytes:
    """Pickle `value` for another process.

    Args:
        value: what to pickle.
        strictly: refuse locks and open files, which dill makes anew where it unpickles.

    Raises:
        Exception: whatever keeps it from being pickled.
    """
    file = BytesIO()
    # Two that name the same class anew at once could take it for one of a module.
    # That is rare enough to go on without the lock rather than hang: it may have
    # been held by another thread when this process was forked.
    alone = _one_at_a_time.acquire(timeout=_PATIENCE)
    try:
        _FunctionPickler(file, strictly).dump(value)
    finally:
        if alone:
            _one_at_a_time.release()
    return file.getvalue()


def loads(pickled: bytes) -> Any:
    """What `dumps` was given.

    Only for what comes out of a journal that passed the ownership checks: to
    unpickle is to run.
    """
    return dill.loads(pickled)
