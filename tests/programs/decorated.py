"""A module that registers a handler by decoration when it is imported."""

from __future__ import annotations

import os

from say import say

import lastout


@lastout.register
def flush() -> None:
    """Say that this process ran it."""
    say("ran", "flush", os.getpid())


say("registered", "flush", os.getpid())


def work() -> None:
    """What a child does."""
    say("lived", "work", os.getpid())
