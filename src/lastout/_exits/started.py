"""Started: what multiprocessing is about to fork, as far as that can be told before.

A process of a library's own, such as the server of a `Manager`, never asked to be in anything.
"""

from __future__ import annotations

import sys

from . import PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_LAUNCHERS: Final = frozenset(f"{package}.popen_fork" for package in PACKAGES)
_LIBRARIES: Final = frozenset((*PACKAGES, "concurrent"))


def process_to_fork() -> Any:
    """Asked in a hook before a fork: the package's `Process` that it is for; `None` if for none."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("lastout."):
        frame = frame.f_back
    # Whom the hook interrupts: it has called `os.fork`.
    if frame is None or frame.f_globals.get("__name__") not in _LAUNCHERS:
        return None
    return frame.f_locals.get("process_obj")


def is_manager(process: Any) -> bool:
    """Whether it is the server of a `Manager`: it keeps objects for others, as long as it can."""
    # A class method, of a class that may be the program's.
    return _library_of(process) in PACKAGES and process._target.__name__ == "_run_server"


def is_of_no_use_alone(process: Any) -> bool:
    """Whether it only works for the process that starts it: a library's own, or a daemon."""
    return process is not None and (process.daemon or _library_of(process) in _LIBRARIES)


def _library_of(process: Any) -> str:
    """The top package of what it will call; empty if that cannot be told."""
    module = getattr(getattr(process, "_target", None), "__module__", None)
    return module.partition(".")[0] if isinstance(module, str) else ""
