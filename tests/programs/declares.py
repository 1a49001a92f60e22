"""A module that sets one thing up, where it is imported or where it is told to.

What the processes of the program say:

    ran PID             a handler ran
    in the scope PID    this process was a member when it worked
    working PID         it is at work
"""

from __future__ import annotations

import os
import signal

from say import say

import lastout

WHAT, PLACE = os.environ["DECLARES"].split(":")


def ran() -> None:
    """The handler."""
    say("ran", os.getpid())


def set_up() -> None:
    """Do what this program is about."""
    global scope
    if WHAT == "register":
        lastout.register(ran)
    elif WHAT == "inherit":
        lastout.handler(inherit=True)(ran)
    elif WHAT == "handle_signals":
        lastout.handle_signals()
    elif WHAT == "Scope":
        scope = lastout.Scope("declared")


def work(until_killed: bool) -> None:
    """What the child does; where it is to be killed, it registers a handler first."""
    if until_killed:
        lastout.register(ran)
    named = [view for view in (lastout_members() if WHAT == "Scope" else ()) if view == os.getpid()]
    say(*(["in the scope"] if named else ["working"]), os.getpid())
    if until_killed:
        signal.pause()


def lastout_members() -> list[int | None]:
    """The members of the scope, seen from outside: this joins nothing."""
    from lastout._scopes.records.inspection import inspect
    from lastout.backends.local import LocalBackend

    view = inspect(LocalBackend(), "declared")
    return [one.member.pid for one in view.members] if view else []


if PLACE == "module level":
    set_up()
