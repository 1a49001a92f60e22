"""Activity: the work of threads that leaving a scope has to wait for.

    make, release:  enter --> is it closed? refuse : go on --> exit
    leave:          close --> wait until no thread is inside

Leaving waits for threads that entered before the close, and threads that come later are
refused.  So no artifact is recorded, made or claimed while a thread leaves.

Tested by: tests/shared/test_busy.py
"""

from __future__ import annotations

from ..._platform.genuine import UnpatchedModule
from ...errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from ...deadline import Deadline

_thread = UnpatchedModule("_thread")
_get_ident = _thread.get_ident  # recording has to be fast


class ScopeActivity:
    """A context manager for work that must not be under way when this process leaves a scope.

    Args:
        scope: the path of the scope, for errors.
    """

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._inside: list[int] = []
        self._closed = False
        self._changed = _thread.allocate_lock()  # released by each thread that exits after close

    def __enter__(self) -> None:
        # Without a lock, because recording has to be fast.  In this order, because a close
        # between the check and the entry would not see this thread.
        self._inside.append(_get_ident())
        if self._closed:
            self._exit()
            raise UsageError(
                f"this process is just leaving the scope {self._scope!r}; make it before, or join"
                " anew afterwards"
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit()

    def _exit(self) -> None:
        self._inside.remove(_get_ident())
        if self._closed:
            try:  # noqa: SIM105  contextlib is not quick
                self._changed.release()
            except RuntimeError:  # another thread has released it
                pass

    def close(self, deadline: Deadline) -> bool:
        """Refuse new threads, and wait for threads inside; `False` if the deadline passed."""
        self._closed = True
        me = _get_ident()
        # The lock stays taken until a thread exits, which releases it: then look again.
        while any(thread != me for thread in list(self._inside)):
            left = deadline.left()
            if not self._changed.acquire(
                timeout=-1 if left is None else min(left, _thread.TIMEOUT_MAX)
            ):
                return False
        return True

    def open(self) -> None:
        """Let threads in again, for a new membership."""
        self._closed = False
