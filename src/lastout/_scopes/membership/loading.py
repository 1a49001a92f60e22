"""Loading: what forks and leaving take, loaded while it still can be.

Tested by: tests/shared/test_surroundings.py, tests/shared/test_dropped_privileges.py
"""

from __future__ import annotations

from ..._platform.imports import load_now, without_forks
from ...backends.root import refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_all_loaded = False
# A forked child runs a hook of filelock's, which is in the last of these.
_PACKAGES: Final = (
    *("lastout._scopes", "lastout.backends", "lastout._identity", "lastout.pickling"),
    "filelock._core._fork",
)


def load_all(path: str) -> None:
    """Load all that is still to be loaded (PEP 810), once: later it may be too late."""
    global _all_loaded
    if not _all_loaded:
        with refusals("load what it takes to use the scope", path):
            without_forks(lambda: load_now(*_PACKAGES))
        _all_loaded = True
