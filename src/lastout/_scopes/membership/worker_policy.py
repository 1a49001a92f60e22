"""WorkerPolicy: whether the workers of this process end with it, and how.

Tested by: tests/shared/test_orphans.py
"""

from __future__ import annotations

from ..._identity import here
from ..._platform import pids
from ..._platform.imports import load
from ...errors import LastoutError
from ...report import Failure, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..guardian.client import GuardianClient
    from .recording import JournalWriter


class WorkerPolicy:
    """Whether, and how, the workers of one member end with it.

    Args:
        guardian: the guardian of its scope.

    Attributes:
        wanted: whether workers end with the member; `None`: only if the scope has a guardian.
        seconds: how long workers have to end by themselves.
    """

    def __init__(self, guardian: GuardianClient) -> None:
        self._guardian = guardian
        self.wanted: bool | None = None
        self.seconds = 0.0

    def grace(self) -> float | None:
        """Seconds that workers have when this process has ended; `None` if they are not ended."""
        wanted = self.wanted
        if wanted is None:
            wanted = self._guardian.wanted and pids.has_pidfds()
        return self.seconds if wanted else None

    def outlive_parent(self, journal: JournalWriter) -> None:
        """Have this process outlive its parent, which recorded it as a worker."""
        grace = self.grace()
        if grace is not None:
            journal.will_end_with(here(), grace)  # itself as parent, which cannot have ended

    def end_own(self, journal: JournalWriter) -> Iterable[Outcome]:
        """End the workers of this process, if they are to end with it; returns the outcomes."""
        if self.grace() is None:
            return []
        try:
            # Loaded already when `worker` was used, because later may be too late.
            orphans = load("lastout._scopes.reaping.orphans")
            return orphans.end_own(journal)  # type: ignore[no-any-return]
        except (LastoutError, OSError) as error:
            return [Outcome(f"workers in {journal.scope.path}", 0.0, Failure(error))]
