"""Copied beside each server: what a user of lastout writes into its application.

`$GUEST` says how: "without" lastout at all, with "signals" (`handle_signals()`), or with
"worker" (`integrations.pools.worker()`); these two with an exit handler and a directory
in a scope.
"""

from __future__ import annotations

import asyncio
import os
import time

from say import say

SECONDS = 2.0  # that a request or job takes
_begun_in: int | None = None


def begin() -> None:
    """Called at the place for it, in each process that serves; once for each, as others do."""
    global _begun_in
    if os.environ["GUEST"] == "asking" or _begun_in == os.getpid():
        return  # the program that brings a job, or begun already
    _begun_in = os.getpid()
    if os.environ["GUEST"] != "without":
        _use_lastout()
    say("serving")


def _use_lastout() -> None:
    import lastout
    from lastout.integrations.pools import worker

    scope = lastout.Scope("served", guardian=False)
    lastout.register(lambda: say("handler", os.getpid()))
    if os.environ["GUEST"] == "signals":
        lastout.handle_signals()
    else:
        worker(scope, finalizer=lambda: say("finalizer", os.getpid()))()
    made = scope.directory(lifetime="member")
    (made / "file").write_text("text")
    say("registered", os.getpid())


def work() -> str:
    """A request or job."""
    say("process", os.getpid())
    say("begun")
    time.sleep(SECONDS)
    say("done")
    return "done"


async def awork() -> str:
    """The same, for a loop of asyncio."""
    say("process", os.getpid())
    say("begun")
    await asyncio.sleep(SECONDS)
    say("done")
    return "done"
