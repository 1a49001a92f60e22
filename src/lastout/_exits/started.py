"""Started: which process multiprocessing is about to fork, as far as that is known before.

A process that a library starts for itself, such as the server of a `Manager`, never asked to
join a scope.

Tested by: tests/shared/test_helpers.py, tests/shared/test_handover.py
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
    """In a hook before a fork, the `Process` that a package is starting; `None` if none is."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("lastout."):
        frame = frame.f_back
    # `frame` is the function that called `os.fork`.
    if frame is None or frame.f_globals.get("__name__") not in _LAUNCHERS:
        return None
    return frame.f_locals.get("process_obj")


def is_manager(process: Any) -> bool:
    """Whether the process is a `Manager`'s server, which keeps objects for other processes."""
    # By the name of a class method, because the program may have derived the class.
    return _library_of(process) in PACKAGES and process._target.__name__ == "_run_server"


def is_of_no_use_alone(process: Any) -> bool:
    """Whether the process, a library's or a daemon, only works for the process that starts it."""
    return process is not None and (process.daemon or _library_of(process) in _LIBRARIES)


def _library_of(process: Any) -> str:
    """The top package of the function that the process will call; empty if unknown."""
    module = getattr(getattr(process, "_target", None), "__module__", None)
    return module.partition(".")[0] if isinstance(module, str) else ""
