"""Pickling by value: functions with the globals they use, for a process that cannot import them.

Tested by: tests/process/test_carrier.py, tests/process/test_lazy_names.py
"""

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
    """dill's pickler, with another way for code: dill 0.4.1 reads `co_lnotab`, gone in 3.15."""

    dispatch = dill.Pickler.dispatch.copy()

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        super().save(loaded(obj), save_persistent_id)


def loaded(obj: Any) -> Any:
    """The module that a lazy import (PEP 810) stands for; any other object unchanged.

    Raises:
        Exception: the lazy import fails.
    """
    return obj.resolve() if type(obj) is LazyImportType else obj


def _save_code(pickler: Any, code: CodeType) -> None:
    # marshal is made for code; like dill's way, it works only between equal versions of Python.
    pickler.save_reduce(marshal.loads, (marshal.dumps(code),), obj=code)


CodePickler.dispatch[CodeType] = _save_code


def dumps(value: object) -> bytes:
    """Pickle a value; a function takes along only the globals that it uses.

    Raises:
        Exception: the value cannot be pickled.
    """
    file = BytesIO()
    CodePickler(file, recurse=True).dump(value)
    return file.getvalue()
