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
