"""Worlds of their own for a program, by unshare(1): its processes, mounts, clocks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from textwrap import dedent

import pytest


def unshared(*options: str) -> list[str]:
    """The beginning of a command that runs in a world of its own; skips where that is refused."""
    tool = shutil.which("unshare")
    if tool is None:
        pytest.skip("there is no unshare(1) here")
    command = [tool, *options]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"not allowed here: {tried.stderr.strip()}")
    return command


def run_mounted(mount: str, script: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a script where something is mounted, which goes with it; skips where that is refused.

    Args:
        mount: a line of shell that mounts it; `$1` and so on are `args`.
        script: the text of the program.
        args: what that is given, too.
    """
    line = f'{mount} && exec "$0" -c "$LASTOUT_SCRIPT" "$@"'
    ran = subprocess.run(
        [*unshared("--mount"), "sh", "-c", line, sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "LASTOUT_SCRIPT": dedent(script)},
    )
    if "mount:" in ran.stderr:
        pytest.skip(f"not allowed here: {ran.stderr.strip()}")
    return ran
