"""Worlds of their own for a program, by unshare(1): its processes, mounts, clocks."""

from __future__ import annotations

import shutil
import subprocess

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
