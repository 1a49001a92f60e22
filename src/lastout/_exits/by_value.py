"""Pickling by value: functions with all that they use, for a process that cannot import them."""

from __future__ import annotations

import marshal
from io import BytesIO
from types import CodeType

import dill

from .._platform.imports import LazyImportType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CodePickler(dill.Pickler):  # type: ignore[misc]
    """dill's pickler, but for code: dill 0.4.1 asks for a `co_lnotab`, which 3.15 has no more."""

    dispatch = dill.Pickler.dispatch.copy()

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        super().save(loaded(obj), save_persistent_id)


def loaded(obj: Any) -> Any:
    """What a lazy import (PEP 810) in the globals of a function stands for, anything else itself.

    Raises:
        Exception: it cannot be loaded.
    """
    return obj.resolve() if type(obj) is LazyImportType else obj


def _save_code(pickler: Any, code: CodeType) -> None:
    # By marshal, which is there for it; like dill's way, it is only for the same Python.
    pickler.save_reduce(marshal.loads, (marshal.dumps(code),), obj=code)


CodePickler.dispatch[CodeType] = _save_code


def dumps(value: object) -> bytes:
    """Pickle a value; of a function's globals only those that it uses.

    Raises:
        Exception: whatever keeps it from being pickled.
    """
    file = BytesIO()
    CodePickler(file, recurse=True).dump(value)
    return file.getvalue()
