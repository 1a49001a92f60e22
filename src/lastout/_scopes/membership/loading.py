"""Loading: modules that a fork or leaving needs, loaded while they still can be.

Tested by: tests/shared/test_surroundings.py, tests/shared/test_dropped_privileges.py
"""

from __future__ import annotations

from ..._platform.imports import load_now, without_forks
from ...backends.root import refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_all_loaded = False
# The last, because a forked child runs a hook of filelock that is in it.
_PACKAGES: Final = (
    *("lastout._scopes", "lastout.backends", "lastout._identity", "lastout.pickling"),
    "filelock._core._fork",
)


def load_all(path: str) -> None:
    """Load, once, all lazy imports (PEP 810) in these packages, because later may be too late."""
    global _all_loaded
    if not _all_loaded:
        with refusals("load what it takes to use the scope", path):
            without_forks(lambda: load_now(*_PACKAGES))
        _all_loaded = True
