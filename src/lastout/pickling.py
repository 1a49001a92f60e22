"""Naming a function, or pickling it with the globals it uses, for a later process.

A function or class that a later process can import is pickled by reference.  dill
pickles the rest by value: functions and classes of the main script, which is
`__main__`, or `__mp_main__` in spawned children, and of modules that were made at run
time or that another process would not find.

Tested by: tests/shared/test_callbacks.py, tests/process/test_lazy_names.py
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
    """`module:qualname` of a function, or of its type if it has none."""
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
    # By `==` too, because each look-up of a method gives another object.
    same = found is func or (isinstance(func, _METHODS) and found == func)
    return same and module_can_be_imported(module)


def _address(func: Callable[..., object]) -> tuple[str | None, str | None]:
    owner = getattr(func, "__self__", None)
    if isinstance(func, _METHODS) and isinstance(owner, type):
        # Not `__qualname__`, because that of an inherited method names the class that defines it.
        return owner.__module__, f"{owner.__qualname__}.{func.__name__}"
    return getattr(func, "__module__", None), getattr(func, "__qualname__", None)


def module_can_be_imported(name: str) -> bool:
    """Whether another process with this `sys.path` would find the same module."""
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
    """dill's pickler, which treats every module that cannot be imported like `__main__`."""

    def __init__(self, file: BytesIO, strictly: bool) -> None:
        # `recurse`: only the globals that a function uses, not all globals of its module.
        super().__init__(file, recurse=True)
        self._strictly = strictly
        self._importable: dict[str, bool] = {"__main__": True}  # dill handles `__main__` itself

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        obj = by_value.loaded(obj)
        if self._strictly and isinstance(obj, _ONE_OF_A_KIND):
            kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
            raise TypeError(f"cannot pickle {kind!r}: a copy would not be the same one")
        if not self._is_homeless(obj):
            super().save(obj, save_persistent_id)
            return
        # Of `__main__` while it is being pickled, because dill pickles only that by value.
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
        value: the value to pickle.
        strictly: whether to refuse locks and open files, of which unpickling makes new ones.

    Raises:
        Exception: `value` cannot be pickled.
    """
    file = BytesIO()
    # One thread at a time, because `save` changes `__module__` for a while, and a second thread
    # would see that.  After some seconds without the lock, because that is rare, and another
    # thread may have held the lock when this process was forked.
    alone = _one_at_a_time.acquire(timeout=_PATIENCE)
    try:
        _FunctionPickler(file, strictly).dump(value)
    finally:
        if alone:
            _one_at_a_time.release()
    return file.getvalue()


def loads(pickled: bytes) -> Any:
    """The value that was given to `dumps`.

    Only for bytes from a journal that passed the ownership checks, because unpickling
    runs code.
    """
    return dill.loads(pickled)
