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
event unwinds it.  `_process` holds this half: `children` sees to it that each
child has a stack of its own and that its end is an event, `signals` makes a
signal one.
"""

from __future__ import annotations

from ._platform import imports as _imports
from ._process import children as _children
from ._process.registry import (
    _clear as _clear,
)
from ._process.registry import (
    _ncallbacks as _ncallbacks,
)
from ._process.registry import (
    _run_exitfuncs as _run_exitfuncs,
)
from ._process.registry import (
    handler,
    register,
    run_exit_handlers,
    unregister,
    unwind,
)
from .errors import HandlerTimeout, LastoutError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._process.parent import end_with_parent
    from ._process.report import Failure, Outcome, Report
    from ._process.signals import SignalHandling, handle_signals
    from ._shared.artifact import Artifact
    from ._shared.members import Member
    from ._shared.recovery import reap
    from ._shared.scope import Scope, current_scope

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

# Loaded on first use, because they load slowly or are seldom needed.
_LAZY = {
    "Artifact": "_shared.artifact",
    "Member": "_shared.members",
    "Scope": "_shared.scope",
    "current_scope": "_shared.scope",
    "reap": "_shared.recovery",
    "end_with_parent": "_process.parent",
    "Failure": "_process.report",
    "Outcome": "_process.report",
    "Report": "_process.report",
    "SignalHandling": "_process.signals",
    "handle_signals": "_process.signals",
}
# What is pickled names these as well (see `public`), and in journals it is there for good.
_PICKLED = {
    "Identity": "_identity",
    "Semaphore": "_shared.segments",
    "SharedMemory": "_shared.segments",
    "Worker": "_shared.workers",
    "_rejoin": "_shared.scope",
}


def __getattr__(name: str) -> object:
    room = _LAZY.get(name) or _PICKLED.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # filelock, of which scopes are made, imports logging where it cannot do so lazily.
    logs = room.startswith("_shared.") and _imports.LazyImportType is None
    module = _imports.load(f"{__name__}.{room}", needs_logging=logs)
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


_children.hook_up()
# The process half whole: it is needed when nothing can be loaded any more.
_imports.load_now(__name__)
