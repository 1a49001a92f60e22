"""Exit handlers that follow every process, and shared artifacts cleaned by the last one out.

`import lastout as atexit` does what `atexit` promises, in every child process.

    |=================== this process ====================|
     register()      +----------+  push   +-------+
     @handler   ===> | registry | ======> | stack |
                     +----------+         +-------+
     exit · signal · end of a child ====>     |  unwind(deadline)
                                              v
                                            Report ==> stderr, observers

Exit handlers lie on a stack, one for each process and interpreter, and an
event unwinds it.  `_exits` holds this half: `children` gives each child a stack
of its own and makes its end an event, and `signals` makes a signal an event.

Tested by: tests/test_frame.py, tests/process/test_lazy_imports.py
"""

from __future__ import annotations

from ._platform import imports as _imports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._exits.parent import end_with_parent
    from ._exits.registry import _clear as _clear
    from ._exits.registry import _ncallbacks as _ncallbacks
    from ._exits.registry import _run_exitfuncs as _run_exitfuncs
    from ._exits.registry import handler, register, run_exit_handlers, unregister, unwind
    from ._exits.signals import SignalHandling, handle_signals
    from ._scopes.reaping.recovery import reap
    from ._scopes.records.artifact import Artifact
    from ._scopes.records.members import Member
    from ._scopes.scope import Scope, current_scope
    from .errors import HandlerTimeout, LastoutError, UsageError
    from .report import Failure, Outcome, Report

__all__ = [
    "Artifact",
    "Failure",
    "HandlerTimeout",
    "LastoutError",
    "Member",
    "Outcome",
    "Report",
    "Scope",
    "SignalHandling",
    "UsageError",
    "current_scope",
    "end_with_parent",
    "handle_signals",
    "handler",
    "reap",
    "register",
    "run_exit_handlers",
    "unregister",
    "unwind",
]

# Loaded on first use, because many processes that import this use neither handlers nor scopes.
_AT_THE_END = ("_exits", "_platform", "deadline", "errors", "report")
_REGISTRY = ("handler", "register", "run_exit_handlers", "unregister", "unwind")
_AS_ATEXIT = ("_clear", "_ncallbacks", "_run_exitfuncs")
_LAZY = {
    **dict.fromkeys((*_REGISTRY, *_AS_ATEXIT), "_exits.registry"),
    **dict.fromkeys(("HandlerTimeout", "LastoutError", "UsageError"), "errors"),
    "Artifact": "_scopes.records.artifact",
    "Member": "_scopes.records.members",
    "Scope": "_scopes.scope",
    "current_scope": "_scopes.scope",
    "reap": "_scopes.reaping.recovery",
    "end_with_parent": "_exits.parent",
    "Failure": "report",
    "Outcome": "report",
    "Report": "report",
    "SignalHandling": "_exits.signals",
    "handle_signals": "_exits.signals",
}
# Pickles refer to these by `lastout` as well (see `public`), and journals keep pickles for good.
_PICKLED = {
    "Identity": "_identity",
    "Semaphore": "_scopes.kinds.untracked",
    "SharedMemory": "_scopes.kinds.untracked",
    "Worker": "_scopes.membership.workers",
    "_rejoin": "_scopes.scope",
}


def __getattr__(name: str) -> object:
    file = _LAZY.get(name) or _PICKLED.get(name)
    if file is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Scopes use filelock, which imports logging on a Python without lazy imports.
    logs = file.startswith("_scopes.") and _imports.LazyImportType is None
    module = _imports.load(f"{__name__}.{file}", needs_logging=logs)
    if file.startswith("_exits."):
        _load_whole()
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def _load_whole() -> None:
    """Load all modules that run when this process ends, because it may load none by then."""
    _imports.load(f"{__name__}._exits.children")
    _imports.load_now(*(f"{__name__}.{part}" for part in _AT_THE_END))
