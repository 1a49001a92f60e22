"""What is handed to a scope as it is: by a process that is killed, and as it is shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import lastout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TRACK_AND_DIE = """
import os, signal, sys, lastout
scope = lastout.Scope("job", root=sys.argv[1])
scope.track(sys.argv[2], sys.argv[3])
os.kill(os.getpid(), signal.SIGKILL)
"""


def track_and_be_killed(
    root: Path, kind: str, location: object, env: Mapping[str, str] | None = None
) -> None:
    """Have another process hand something to the scope `job`, and kill itself."""
    command = [sys.executable, "-c", _TRACK_AND_DIE, str(root), kind, str(location)]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def reap(root: Path) -> None:
    """Clean what it left, all of it."""
    report = lastout.reap(root, "job")
    assert report.ok, [one.failure for one in report if one.failure]
    assert not (root / "job").exists()


def shown(root: Path) -> str:
    """What `lastout show` says of the scope `job`."""
    command = [sys.executable, "-m", "lastout", "show", "job", "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
