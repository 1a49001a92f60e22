"""billiard, and so celery: the end of a pool's worker, which is `os._exit`.

    jobs  -->  on_exit(pid, status) of the pool  -->  exit handlers  -->  os._exit

A worker of `billiard.Pool` ends without atexit and without billiard's own finalizers, and
resets the handlers of signals after its initializer.  Before every kind of end it calls only
one function, the pool's `on_process_exit=`.

Tested by: tests/integrations/test_billiard.py
"""

from __future__ import annotations

import sys

from .._exits import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NO_WORKER: Any = object()


def run_handlers_at_exit() -> None:
    """Have this process run its exit handlers at its end, if it is a worker of `billiard.Pool`.

    Called in the initializer.  The pool's own `on_process_exit=` runs first.
    """
    process = sys.modules.get("billiard.process")
    worker: object = getattr(process and process.current_process(), "_target", None)
    own = getattr(worker, "on_exit", _NO_WORKER)
    if own is not _NO_WORKER and not isinstance(own, _OnExit):
        worker.on_exit = _OnExit(own)  # type: ignore[attr-defined]


class _OnExit:
    def __init__(self, own: Callable[[int, int], object] | None) -> None:
        self._own = own

    def __call__(self, pid: int, status: int) -> None:
        try:
            if self._own is not None:
                self._own(pid, status)
        finally:
            registry.end()
