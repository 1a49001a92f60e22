"""Functions and objects that `recorder.py` records as callbacks: whoever cleans imports them.

Each call adds a line to the file `noted` in its directory: which sort it was, and what came.
"""

from __future__ import annotations

import os

# What two builds of lastout can say of their own things, whatever else they know of them.
_FACTS = ("kind", "location", "id", "number", "name", "path", "token", "pid", "ok", "args", "size")


def described(thing: object) -> str:
    """What something is, in words that are the same wherever it was unpickled."""
    if isinstance(thing, (list, tuple)):
        return f"{type(thing).__name__}({', '.join(map(described, thing))})"
    if isinstance(thing, dict):
        return f"{{{', '.join(f'{key}: {described(value)}' for key, value in thing.items())}}}"
    if isinstance(thing, (str, int, float, type(None))):
        return repr(thing)
    owner = getattr(thing, "__self__", None)
    if owner is not None and not isinstance(owner, type(os)):
        return f"{thing.__name__} of {described(owner)}"  # type: ignore[attr-defined]
    if hasattr(thing, "__name__"):
        return str(thing.__name__)
    facts = ((name, getattr(thing, name, None)) for name in _FACTS)
    return f"{type(thing).__name__}({', '.join(f'{n}={v!r}' for n, v in facts if v is not None)})"


def line(sort: str, *things: object, **named: object) -> str:
    """What is noted of a call."""
    return f"{sort}: {described(things)} {described(named)}".replace(os.getcwd(), ".")


def note(sort: str, *things: object, **named: object) -> None:
    """Add a line."""
    with open("noted", "a") as file:
        file.write(line(sort, *things, **named) + "\n")


class Keepsake:
    """An object of a user's, with something of lastout's in it."""

    def __init__(self, *things: object) -> None:
        self.things = things

    def note(self, sort: str) -> None:
        note(sort, *self.things)
