"""Making a recorded call, in a process that was started for nothing else.

Kept apart from `callback`, which records it, because it must start fast: it
loads dill only for what was pickled.

Tested by: tests/shared/test_callbacks.py
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def make(call: Mapping[str, Any]) -> None:
    """Make a call as `callback.recipe` wrote it down, with its location as `name`.

    Raises:
        Exception: whatever it raises, or keeps it from being found.
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
