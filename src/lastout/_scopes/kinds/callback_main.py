"""The program of a process that makes one recorded call.

It is separate from `callback`, which records the call, because it must start fast: it loads
dill only for calls that were pickled.

Tested by: tests/shared/test_callbacks.py
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def make(call: Mapping[str, Any]) -> None:
    """Make a call that `callback.recipe` recorded, with its location as `name`.

    Raises:
        Exception: the call raised it, or the function cannot be loaded.
    """
    func: Any
    if "pickle" in call:
        from base64 import b85decode

        from ... import pickling

        func, args, kwargs = pickling.loads(b85decode(call["pickle"]))
    else:
        module, _, qualname = call["name"].partition(":")
        func, args, kwargs = import_module(module), call["args"], call["kwargs"]
        for part in qualname.split("."):
            func = getattr(func, part)
    func(*args, **kwargs)
