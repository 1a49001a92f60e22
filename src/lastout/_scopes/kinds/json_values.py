"""Values that JSON gives back exactly, so that they can be recorded.

Tested by: tests/shared/test_kinds.py
"""

from __future__ import annotations

from math import isfinite


def survives_json(value: object) -> bool:
    """Whether JSON gives back exactly this value: no tuples, no keys but text, no subclasses."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return True
    if kind is float:
        return isfinite(value)  # type: ignore[arg-type]
    try:
        if kind is list:
            return all(map(survives_json, value))  # type: ignore[call-overload]
        if kind is dict:
            every: dict[object, object] = value  # type: ignore[assignment]
            return all(type(key) is str and survives_json(every[key]) for key in every)
    except RecursionError:  # the value contains itself
        return False
    return False
