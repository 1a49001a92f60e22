"""Exit handlers that follow every process, and shared artifacts cleaned by the last one out.

`import lastout as atexit` does what `atexit` promises, in every child process.
"""

from __future__ import annotations

from ._process import carrier as _carrier  # noqa: F401
from ._process import children as _children  # noqa: F401
from ._process.registry import (
    _clear,
    _ncallbacks,
    _run_exitfuncs,
    handler,
    register,
    run_exit_handlers,
    unregister,
    unwind,
)
from .errors import HandlerTimeout, LastoutError, UsageError

__all__ = [
    "HandlerTimeout",
    "LastoutError",
    "UsageError",
    "handler",
    "register",
    "run_exit_handlers",
    "unregister",
    "unwind",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._process.report import Failure, Outcome, Report
    from ._process.signals import SignalHandling, handle_signals

# Loaded on first use, because they load slowly or are seldom needed.
_LAZY = {
    "Failure": "_process.report",
    "Outcome": "_process.report",
    "Report": "_process.report",
    "SignalHandling": "_process.signals",
    "handle_signals": "_process.signals",
}
__all__ += sorted(_LAZY)


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
