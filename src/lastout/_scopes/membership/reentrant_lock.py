"""ReentrantLock: one thread of a process at a time joins or leaves a scope.

Tested by: tests/shared/test_races.py, tests/shared/test_busy.py
"""

from __future__ import annotations

import _thread
from contextlib import contextmanager

from ...errors import ScopeBusy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class ReentrantLock:
    """A lock that its thread may take again.

    Args:
        scope: the path of the scope, for errors.
    """

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._lock = _thread.RLock()
        self._owner: int | None = None

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Keep other threads from joining or leaving in the block.

        Raises:
            ScopeBusy: another thread joins or leaves, and did not finish in so many seconds;
                or another greenlet of this thread does, and waiting would keep it from going on.
        """
        if not self._lock.acquire(timeout=seconds):
            late = f", and did not come to an end in {seconds} s"
            raise self._busy("thread of this process", late)
        owner = self._owner
        try:
            me = _thread.get_ident()  # the greenlet, if gevent or eventlet has patched `_thread`
            if owner not in (None, me):
                raise self._busy("greenlet of this thread", "; wait for it, then do this again")
            self._owner = me
            yield
        finally:
            self._owner = owner
            self._lock.release()

    def _busy(self, who: str, then: str) -> ScopeBusy:
        return ScopeBusy(
            f"another {who} joins or leaves the scope {self._scope!r}{then}", path=self._scope
        )
