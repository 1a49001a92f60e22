"""Waiting: wait for all other members to leave.

Tested by: tests/shared/test_joining.py, tests/shared/test_faults.py
"""

from __future__ import annotations

import os

from ..._platform.process_ends import wait_for_an_end
from ..records.liveness import is_helper
from ..records.survey import ScopeSurvey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ...deadline import Deadline
    from .recording import JournalWriter

# By looks, because no event tells of a member that leaves and lives on.
_FIRST_LOOK: Final = 0.005
_LONGEST_LOOK: Final = 0.1


def wait_until_alone(journal: JournalWriter, deadline: Deadline) -> bool:
    """Wait until no other member is alive; `False` if the deadline passed."""
    look = _FIRST_LOOK
    while True:
        with journal.lock_scope() as held:
            survey = ScopeSurvey(held, journal.scope.path)
            others = [t for t in survey.living if t != journal.token and not is_helper(t)]
            pids = [survey.journal(token).who.pid for token in others]
        if not others:
            return True
        left = deadline.left()
        if left == 0:
            return False
        _sleep_until_one_ends(pids, look if left is None else min(look, left))
        look = min(look * 2, _LONGEST_LOOK)


def _sleep_until_one_ends(pids: list[int | None], seconds: float) -> None:
    """Wake when any of these processes ends, or after some seconds."""
    opened: list[int] = []
    try:
        for pid in pids:
            if pid is not None and pid != os.getpid() and hasattr(os, "pidfd_open"):
                try:
                    opened.append(os.pidfd_open(pid))
                except OSError:
                    continue  # it has ended, or there are no descriptors: look again soon
        wait_for_an_end(opened, seconds)
    finally:
        for number in opened:
            os.close(number)
