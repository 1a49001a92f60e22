"""Background processes: libraries keep them while this process lives, so no test left them.

Tested by: tests/pytest_plugin/test_leaks.py
"""

from __future__ import annotations

import os
import re
import sys

from ..._platform.pids import command_line, descends_from, parent_of, process_facts
from ...layout import GUARDIAN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# `python -c TEXT`, as multiprocessing, multiprocess and loky start them; Python 3.14.10 and
# 3.15.2 have it import `sys` first.
_TRACKER: Final = re.compile(rb"from [\w.]+\.(resource|semaphore)_tracker import main\b")
_FORK_SERVER: Final = re.compile(rb"(import sys; )?from [\w.]+\.forkserver import main\b")


def is_background_process(pid: int) -> bool:
    """Whether a process serves a library, and ends when no process needs it any more."""
    words = command_line(pid)
    return GUARDIAN.encode() in words or any(map(_TRACKER.match, words)) or _is_fork_server(pid)


def runs_fork_server(pid: int) -> bool:
    """Whether a process is a fork server, or was forked by one."""
    return any(map(_FORK_SERVER.match, command_line(pid)))


def _is_fork_server(pid: int) -> bool:
    parent = parent_of(pid)
    if parent is None or not runs_fork_server(pid) or runs_fork_server(parent):
        return False
    # By the parent, because a child whose server was killed otherwise looks like a server: its
    # parent is ending, and then changes.
    facts = process_facts(parent)
    return facts is not None and not facts.ending and descends_from(pid, os.getpid())


def kept_directories() -> set[str]:
    """The directories in which multiprocessing and multiprocess have their sockets."""
    loaded = [sys.modules.get(f"{name}.process") for name in ("multiprocessing", "multiprocess")]
    # Not by `get_temp_dir` of their `util`, which would make a directory.
    found = [one.current_process()._config.get("tempdir") for one in loaded if one]
    return {path for path in found if path}
