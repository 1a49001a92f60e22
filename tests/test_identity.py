"""Identity: who a member is, and whether that process still runs."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lastout._identity import (
    Identity,
    comparable,
    has_executed,
    here,
    is_running,
    new_token,
    running_process,
)
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


def changed(who: Identity, **fields: object) -> Identity:
    return Identity(**{**dict(zip(FIELDS, who.as_tuple(), strict=True)), **fields})  # type: ignore[arg-type]


FIELDS = ("pid", "started", "boot", "namespace", "interpreter", "image", "host")


def test_this_process_is_running() -> None:
    """A process knows itself as running."""
    assert is_running(here())
    assert comparable(here())


def test_equal_and_picklable() -> None:
    """An identity is a value: equal, hashable and picklable."""
    me = here()
    assert me == here()
    assert pickle.loads(pickle.dumps(me)) == me
    assert len({me, here()}) == 1
    assert me != changed(me, pid=1)
    assert me != me.as_tuple()
    assert f"pid={os.getpid()}" in repr(me)


def test_a_reused_pid_is_another_process() -> None:
    """The same pid with another start time is not that process."""
    me = here()
    assert me.started is not None
    assert not is_running(changed(me, started=me.started - 1))


def test_unknown_start_time_counts_as_running() -> None:
    """A process that cannot be told apart counts as running."""
    assert is_running(changed(here(), started=None))


@pytest.mark.parametrize("field", [{"boot": "another"}, {"namespace": 1}, {"pid": None}])
def test_a_pid_that_means_nothing_here(field: dict[str, object]) -> None:
    """After a reboot, in another pid namespace, or without a pid, only the lock tells."""
    assert not is_running(changed(here(), **field))


def test_a_dead_process_is_not_running() -> None:
    """A process that was waited for is not running."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = changed(here(), pid=child.pid, started=None)
    assert is_running(who)
    child.communicate(b"\n")
    assert not is_running(who)


def test_a_zombie_is_not_running() -> None:
    """A process that is dead and not waited for yet is not running."""
    child = os.fork()
    if not child:
        signal.pause()
    who = changed(here(), pid=child, started=None)
    assert is_running(who)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not is_running(who)
    os.waitpid(child, 0)


def test_a_process_whose_main_thread_ended_is_running(program: Callable[..., Program]) -> None:
    """A process that lives on in a second thread is running, though its first one is a zombie."""
    child = program("""
        import ctypes, threading
        from say import say

        def live_on():
            say("ready")
            input()

        threading.Thread(target=live_on).start()
        ctypes.CDLL(None).pthread_exit(None)
    """)
    child.wait_for("ready")
    stat = Path(f"/proc/{child.pid}/stat")
    assert eventually(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")
    assert is_running(changed(here(), pid=child.pid, started=None))
    child.kill()
    child.end()


def test_exec_is_another_program(program: Callable[..., Program]) -> None:
    """The image tells a process before an exec from the one after it; a fork keeps it."""
    child = program("""
        import os, sys
        from lastout._identity import here
        from say import say

        if len(sys.argv) == 1:
            say(here().image)
            pid = os.fork()
            if not pid:
                say(here().image)
                os._exit(0)
            os.waitpid(pid, 0)
            os.execv(sys.executable, [sys.executable, *sys.argv, "again"])
        say("ready")
        input()
    """)
    child.wait_for("ready")
    parent, forked, _ = child.lines
    assert parent == forked
    who = changed(here(), pid=child.pid, started=None, image=int(parent))
    assert is_running(who)
    facts = running_process(who)
    assert facts
    assert has_executed(who, facts)
    child.tell("go")
    child.end()


def test_tokens_differ() -> None:
    """No two tokens are the same."""
    assert len({new_token() for _ in range(1000)}) == 1000
