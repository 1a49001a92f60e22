"""Turns: what is ended, called or waited for can join, leave and look meanwhile; one cleans."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import Scope
from lastout._identity import new_token
from lastout._scopes.reaping import turn
from lastout._scopes.records import journal
from lastout.backends.held import LockedDirectory
from lastout.backends.local import LocalBackend
from lastout.backends.memory import MemoryBackend
from lastout.deadline import Deadline
from lastout.errors import ScopeBusy, ScopeGone, SystemRefused, UsageError
from lastout.layout import CLEANER_LOCK
from support import eventually
from support.journals import DEAD, WrittenScope, made

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lastout.backends.base import Backend
    from support import Program

WAIT = 60

# Makes what `made` says, and waits to be killed.
MAKER = """
import os, sys, time
from pathlib import Path
import lastout
from say import say

Path("member.py").write_text('''
import os, time
import lastout
from say import say
lastout.handle_signals()
lastout.register(say, "handler")
lastout.current_scope()
say("member")
while True:
    time.sleep(60)
''')
Path("stubborn.py").write_text('''
import os, signal, time
from say import say
signal.signal(signal.SIGTERM, lambda *_: say("asked"))
say("stubborn")
while not os.path.exists("go"):
    time.sleep(0.01)
''')
Path("joins.py").write_text('''
import lastout
def join():
    with lastout.Scope("s"):
        open("joined", "w").close()
if __name__ == "__main__":
    join()
''')

def run():
    import subprocess
    subprocess.run([sys.executable, "joins.py"], check=True, timeout=20)

here = os.getcwd()
scope = lastout.Scope("s", {options})
{made}
say("ready")
{then}
"""
POPEN = "scope.popen([sys.executable, 'member.py'], lifetime='member', grace=10)"
STUBBORN = "scope.popen([sys.executable, 'stubborn.py'], lifetime='member', grace=60)"
COMMAND = "scope.command([sys.executable, 'joins.py'], cwd=here, timeout=20)"
CALLBACK = "import joins; scope.callback(joins.join)"
SLOW = (
    "scope.command(['/bin/sh', '-c', 'echo begun >>log; while test ! -e go; do sleep 0.01; done'],"
    " cwd=here)"
)


def maker(
    program: Callable[..., Program], made: str, options: str = "", then: str = "input()"
) -> Program:
    child = program(MAKER.format(made=made, options=options, then=then))
    child.wait_for("ready")
    return child


def kill(child: Program) -> None:
    child.kill()
    child.end(WAIT)


def reap(_: Program) -> None:
    assert lastout.reap().ok


def join(_: Program) -> None:
    with Scope("s") as scope:
        assert scope.artifacts() == ()


def root() -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(os.environ["LASTOUT_ROOT"])
    return []


@pytest.mark.parametrize("clean", [reap, join])
def test_a_program_that_is_a_member(
    program: Callable[..., Program], clean: Callable[[Program], None]
) -> None:
    """A member that is ended by whoever cleans leaves, and runs all its handlers."""
    child = maker(program, POPEN)
    child.wait_for("member")
    kill(child)
    clean(child)
    assert "handler" in child.lines
    assert root() == []


def test_by_one_that_leaves(program: Callable[..., Program]) -> None:
    """The same, where somebody else leaves, who was in with the dead one."""
    child = maker(program, POPEN)
    child.wait_for("member")
    with Scope("s") as scope:
        kill(child)
    assert scope.report.ok
    assert "handler" in child.lines
    assert root() == []


def test_by_a_guardian(program: Callable[..., Program]) -> None:
    """The same, where a guardian does it."""
    child = maker(program, POPEN, "guardian=True")
    child.wait_for("member")
    kill(child)
    assert eventually(lambda: "handler" in child.lines and root() == [], WAIT)


def test_released_by_another(program: Callable[..., Program]) -> None:
    """The same, where another member releases the program, and its maker lives on."""
    child = maker(program, POPEN)
    child.wait_for("member")
    with Scope("s") as scope:
        [process] = scope.artifacts()
        process.release()
        assert "handler" in child.lines
        assert scope.artifacts() == ()
    kill(child)
    lastout.reap()


@pytest.mark.parametrize("made", [COMMAND, CALLBACK], ids=["command", "callback"])
@pytest.mark.parametrize("clean", [reap, join])
def test_a_cleanup_that_joins(
    program: Callable[..., Program], made: str, clean: Callable[[Program], None]
) -> None:
    """A command or function that cleans may join the very scope."""
    child = maker(program, made)
    kill(child)
    clean(child)
    assert (child.directory / "joined").exists()
    assert root() == []


def test_a_function_of_the_last_one_out(program: Callable[..., Program]) -> None:
    """A function that the last one out calls may start a program that joins, and wait for it."""
    child = maker(program, "scope.callback(run)", then="report = scope.leave(); say(report.ok)")
    assert child.end(WAIT).status == 0
    assert child.lines[-1] == "True"
    assert (child.directory / "joined").exists()
    assert root() == []


@pytest.mark.parametrize("made", [SLOW, STUBBORN], ids=["command", "popen"])
def test_two_at_once(program: Callable[..., Program], made: str) -> None:
    """Of two that clean at once one does it; the other one waits, and finds nothing to do."""
    child = maker(program, made)
    if made is STUBBORN:
        child.wait_for("stubborn")
    kill(child)
    reports: list[lastout.Report] = []
    both = [threading.Thread(target=lambda: reports.append(lastout.reap())) for _ in range(2)]
    cleaner = program("import lastout; from say import say; say(lastout.reap().ok)")
    assert eventually(lambda: begun(child), WAIT)
    for one in both:
        one.start()
    both[0].join(0.3)
    assert not reports
    (child.directory / "go").touch()
    for one in both:
        one.join(WAIT)
    assert cleaner.end(WAIT).status == 0
    assert [list(report) for report in reports] == [[], []]
    assert (begun(child), cleaner.lines) == (1, ["True"])
    assert root() == []


def begun(child: Program) -> int:
    """How many times it was asked to end, or run."""
    log = child.directory / "log"
    return child.lines.count("asked") + (log.read_text().count("begun") if log.exists() else 0)


def test_one_that_is_killed_while_it_waits(program: Callable[..., Program]) -> None:
    """The next one takes over at once from a cleaner that was killed while it waited."""
    child = maker(program, STUBBORN)
    child.wait_for("stubborn")
    kill(child)
    cleaner = program("import lastout; lastout.reap()")
    assert eventually(lambda: begun(child), WAIT)
    os.killpg(cleaner.pid, signal.SIGKILL)
    cleaner.end(WAIT)
    (child.directory / "go").touch()
    assert lastout.reap().ok
    assert root() == []


def test_others_come_in_afterwards(program: Callable[..., Program]) -> None:
    """Whoever joins while another one waits for a cleanup comes into a clean scope."""
    child = maker(program, SLOW + "; scope.directory()")
    kill(child)
    cleaner = program("import lastout; lastout.reap()")
    assert eventually(lambda: begun(child), WAIT)
    thread = threading.Thread(target=(child.directory / "go").touch)
    found = []
    joining = threading.Thread(target=lambda: found.append(in_it()))
    joining.start()
    joining.join(0.3)
    assert not found
    thread.start()
    for one in (thread, joining):
        one.join(WAIT)
    cleaner.end(WAIT)
    assert found == [()]


def in_it() -> tuple[lastout.Artifact, ...]:
    with Scope("s") as scope:
        return scope.artifacts()


# With a cleaner that only looks around.


class Meeting(WrittenScope):
    """A scope with dead members, and what is done while one of their things is cleaned."""

    patience = 1.0

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.meanwhile: dict[str, Callable[[], object]] = {}

    def dead(self, *kinds: str) -> None:
        things = (made(number, f"/{kind}", kind) for number, kind in enumerate(kinds, 1))
        self.unlocked(new_token(), *things)

    def clean(self, kind: str, location: str, data: Mapping[str, Any], limit: Deadline) -> None:
        self.cleaned.append(kind)
        self.meanwhile.get(kind, lambda: None)()

    def elsewhere(self, act: Callable[[], object]) -> Callable[[], None]:
        """Have it done by another thread, to its end."""

        def run() -> None:
            thread = threading.Thread(target=act)
            thread.start()
            thread.join(WAIT)

        return run


@pytest.fixture
def meeting(backend: Backend) -> Meeting:
    return Meeting(backend)


@pytest.mark.parametrize(
    ("kind", "free"), [("popen", True), ("command", True), ("callback", True), ("file", False)]
)
def test_what_is_let_go_of(meeting: Meeting, kind: str, free: bool) -> None:
    """The scope is free while something is waited for, and held for what takes moments."""
    seen: list[bool] = []

    def look() -> None:
        try:
            with meeting.hold() as held:
                seen.append(held.is_taken(CLEANER_LOCK))
        except ScopeBusy:
            seen.append(False)

    meeting.dead(kind)
    meeting.meanwhile[kind] = meeting.elsewhere(look)
    assert meeting.reap().swept
    assert seen == [free]


def test_who_is_last_is_decided_anew(meeting: Meeting) -> None:
    """What belongs to the scope stays if somebody has come in while something was waited for."""
    meeting.dead("file", "command")
    meeting.meanwhile["command"] = meeting.elsewhere(lambda: meeting.member("living", who=None))
    reaped = meeting.reap()
    assert (meeting.cleaned, reaped.swept) == (["command"], False)
    meeting.kill("living")
    assert meeting.reap().swept
    assert meeting.cleaned == ["command", "file"]


def test_who_has_died_meanwhile(meeting: Meeting) -> None:
    """What those leave who end while something is waited for is cleaned too."""
    meeting.dead("popen")
    meeting.meanwhile["popen"] = meeting.elsewhere(lambda: meeting.dead("file"))
    assert meeting.reap().swept
    assert meeting.cleaned == ["popen", "file"]


def test_what_fails_is_tried_once(meeting: Meeting) -> None:
    """What cannot be cleaned is told once, however many times it looks around."""

    def fail() -> None:
        raise OSError("no")

    meeting.dead("file", "popen", "command", "popen")
    meeting.meanwhile["command"] = fail
    reaped = meeting.reap()
    assert meeting.cleaned == ["popen", "command", "popen", "file"]
    assert [one.failure is None for one in reaped.outcomes] == [True, False, True, True]
    assert not reaped.swept


def test_a_scope_that_is_removed_meanwhile(meeting: Meeting) -> None:
    """A scope that somebody removes while something is waited for is no more."""

    def remove() -> None:
        if isinstance(meeting.backend, MemoryBackend):
            meeting.backend._scopes.clear()
        else:
            shutil.rmtree(meeting.backend.place)

    meeting.dead("file", "command")
    meeting.meanwhile["command"] = remove
    assert meeting.reap().swept
    assert meeting.cleaned == ["command"]


def test_no_room_for_a_lock(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the turn cannot be taken it is cleaned all the same, with the scope held."""

    def refuse(*_: object) -> None:
        raise SystemRefused("no space", path="/r/s")

    with meeting.hold() as held:
        monkeypatch.setattr(type(held), "take", refuse)
    meeting.dead("command")
    assert meeting.reap().swept
    assert meeting.cleaned == ["command"]


def test_another_one_s_turn_ends_late(meeting: Meeting) -> None:
    """Who waits for another one's turn gives up in the end, and touches nothing."""
    meeting.dead("file")
    with meeting.hold() as held:
        lock = held.take(CLEANER_LOCK)
        assert lock
    with pytest.raises(ScopeBusy, match="is being cleaned"):
        meeting.reap(patience=Deadline(0.05))
    assert meeting.cleaned == []
    lock.give_up()
    assert meeting.reap().swept


def test_one_that_is_waited_for(meeting: Meeting) -> None:
    """A process does not wait for one that may wait for it: the one that cleans, or its child."""
    meeting.dead("file", "command")
    with meeting.hold() as held:
        lock = held.take(CLEANER_LOCK)
        assert lock
        [member] = held.members()
        held.append(member, journal.mark("begun", [2]))  # by this very process
    assert (meeting.reap().outcomes, meeting.cleaned) == ([], [])
    lock.give_up()
    assert meeting.reap().swept


def test_a_lost_descriptor(tmp_path: Path) -> None:
    """If somebody closed all descriptors meanwhile, no lock is taken by a number of others."""
    meeting = Meeting(LocalBackend(tmp_path / "place"))
    with meeting.hold() as held:
        assert isinstance(held, LockedDirectory)
        held.let_go()
        os.close(held._lock.number)
        with pytest.raises(ScopeGone):
            turn.lock_again(held, "/r/s")


@pytest.mark.parametrize("what", ["release", "keep"])
def test_from_inside_a_cleanup(what: str) -> None:
    """What is being cleaned just now is not released or kept by one that is waited for."""
    with Scope("s") as scope:
        with scope._membership().journal.lock_scope() as held:
            token = new_token()
            records = journal.header(token) + journal.join(1, DEAD)
            records += made(1, "/x", "command", lifetime="member")
            held.publish(token, records + journal.mark("begun", [1])).close()
            lock = held.take(CLEANER_LOCK)
            assert lock
        [command] = scope.artifacts()
        with pytest.raises(UsageError, match="a part of what is being cleaned"):
            getattr(command, what)()
        lock.give_up()
        command.keep()
