"""What it takes to write a kind of artifact of your own; see `docs/how-to/kinds.md`.

A package names its kinds in the entry point group `lastout.kinds`, where a process that
cleans finds them.  `import lastout` loads nothing of this.

Tested by: tests/docs/test_kinds_page.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

from ._scopes.kinds.base import AnyPath, Data, Kind, Recipe, Size, Trackable
from .deadline import Deadline

__all__ = ["AnyPath", "Data", "Deadline", "Kind", "Recipe", "Size", "Trackable"]
