"""Reaper: who is dead, what is cleaned, and what stays; on both backends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lastout._identity import Identity, here, new_token
from lastout._platform import pids
from lastout._scopes.reaping import reaper
from lastout._scopes.records import journal, liveness
from lastout.deadline import Deadline
from lastout.errors import CleanupBlocked, JournalDamaged, JournalTooNew, SystemRefused
from support.journals import WrittenScope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lastout.backends.base import Backend, LockedScope


@pytest.fixture
def world(backend: Backend) -> Iterator[WrittenScope]:
    world = WrittenScope(backend)
    yield world
    for token in list(world.journal_locks):
        world.kill(token)


def errors(reaped: reaper.Reaped) -> list[type[BaseException]]:
    return [type(one.failure.exception) for one in reaped.outcomes if one.failure]


def test_the_last_ones_things_go_newest_first(world: WrittenScope) -> None:
    """When all are dead, everything goes in reverse order, and the scope with it."""
    a, b = world.member("a"), world.member("b")
    for member, location in ((a, "/1"), (b, "/2"), (a, "/3")):
        world.made(member, location)
    world.kill(a)
    world.kill(b)
    assert world.reap().swept
    assert world.cleaned == ["/3", "/2", "/1"]
    assert world.backend.scopes() == []


def test_the_living_keep_what_is_the_scopes(world: WrittenScope) -> None:
    """While one lives, only the member-lifetime things of the dead go, and once."""
    a, b = world.member("a"), world.member("b")
    world.made(a, "/scope")
    world.made(a, "/member", lifetime="member")
    world.made(b, "/other", lifetime="member")
    world.kill(a)
    assert not world.reap().swept
    assert not world.reap().swept
    assert world.cleaned == ["/member"]
    world.kill(b)
    assert world.reap().swept
    assert world.cleaned == ["/member", "/other", "/scope"]


def test_a_dead_member_with_nothing_left_is_forgotten(world: WrittenScope) -> None:
    """The journal of a dead member is removed once nothing stands in it any more."""
    a, b = world.member("a"), world.member("b")
    world.made(a, "/member", lifetime="member")
    world.kill(a)
    world.reap()
    with world.hold() as held:
        assert held.members() == [b]


def test_leaving_is_reaping_oneself(world: WrittenScope) -> None:
    """One who leaves is counted as dead, though it still holds its lease."""
    a = world.member("a", who=here())
    world.made(a, "/scope")
    assert world.reap(leaving=a).swept
    assert world.cleaned == ["/scope"]


def test_what_fails_stays_recorded(world: WrittenScope) -> None:
    """What cannot be cleaned does not stop the rest, and is tried again."""
    a = world.member("a")
    for location in ("/1", "/2", "/3"):
        world.made(a, location)
    world.broken = {"/2"}
    world.kill(a)
    reaped = world.reap()
    assert errors(reaped) == [OSError]
    assert not reaped.swept
    assert world.cleaned == ["/3", "/1"]
    world.broken = set()
    assert world.reap().swept
    assert world.cleaned == ["/3", "/1", "/2"]


def test_what_must_go_after_a_failure_stays_too(world: WrittenScope) -> None:
    """A directory stays while something in it, or before it, cannot be cleaned."""
    a = world.member("a")
    world.made(a, "/d", kind="directory")
    first = world.made(a, "/d/x")
    world.made(a, "/later", after=(first,))
    world.broken = {"/d/x"}
    world.kill(a)
    assert sorted(map(str, errors(world.reap()))) == sorted(
        map(str, [CleanupBlocked, OSError, CleanupBlocked])
    )
    assert world.cleaned == []
    world.broken = set()
    assert world.reap().swept
    assert world.cleaned == ["/d/x", "/later", "/d"]


def test_a_directory_waits_for_what_others_have_in_it(world: WrittenScope) -> None:
    """A dead member's directory stays while a living one has something in it."""
    a, b = world.member("a"), world.member("b")
    world.made(a, "/d", kind="directory", lifetime="member")
    world.made(a, "/e", kind="directory", lifetime="member")
    world.made(b, "server", kind="popen", data={"cwd": "/d"})
    world.kill(a)
    world.reap()
    assert world.cleaned == ["/e"]
    world.kill(b)
    world.reap()
    assert world.cleaned == ["/e", "server", "/d"]


def test_after_across_members(world: WrittenScope) -> None:
    """What is to go after something of a living member waits for it."""
    a, b = world.member("a"), world.member("b")
    first = world.made(b, "/first")
    world.made(a, "/second", after=(first,), lifetime="member")
    world.kill(a)
    world.reap()
    assert world.cleaned == []
    world.kill(b)
    world.reap()
    assert world.cleaned == ["/first", "/second"]


def test_what_is_marked_done_is_not_done_again(world: WrittenScope) -> None:
    """After a cleaner was killed, the next one does only what is not marked done."""
    a = world.member("a")
    for number in (1, 2, 3):
        world.made(a, f"/{number}", number=number)
    world.journal_locks[a].append(journal.mark("begun", [3, 2]) + journal.mark("done", [3]))
    world.journal_locks[a].append(journal.mark("kept", [1]))
    world.kill(a)
    assert world.reap().swept
    assert world.cleaned == ["/2"]


def test_marks_come_before_and_after(world: WrittenScope) -> None:
    """Whatever is cleaned was marked begun before and is marked done after."""
    a, seen = world.member("a"), []
    world.made(a, "/stays")
    for number in (7, 8):
        world.made(a, "do", number=number, kind="command", lifetime="member")
    world.member("b", who=here())
    world.kill(a)
    with world.hold() as held:

        def clean(*_: object) -> None:
            read = journal.parse("a", held.read("a"))
            seen.append((set(read.begun), set(read.gone)))

        reaper.reap(held, "/r/s", clean, Deadline())
        assert seen == [({8}, set()), ({8, 7}, {8})]
        assert journal.parse("a", held.read("a")).gone == {7, 8}


def test_a_running_process_is_alive_without_its_lock(world: WrittenScope) -> None:
    """A member that lost its descriptors but runs is alive."""
    parent = Identity(os.getppid(), None, pids.boot_id(), pids.pid_namespace())
    a = world.member("a", who=parent)
    world.made(a, "/1")
    world.kill(a)
    assert not world.reap().swept
    assert world.cleaned == []


def test_a_former_life_of_this_process_is_dead(world: WrittenScope) -> None:
    """This very process knows which members it is: any other of its pid is dead."""
    a = world.member("a", who=here())
    world.made(a, "/1")
    world.kill(a)
    liveness.ours.add("a")
    assert not world.reap().swept
    liveness.ours.discard("a")
    assert world.reap().swept


@pytest.mark.parametrize(("mine", "theirs"), [(0, 1), (1, 0)])
def test_another_interpreter_of_this_process(
    world: WrittenScope, monkeypatch: pytest.MonkeyPatch, mine: int, theirs: int
) -> None:
    """A member of another interpreter of this process is alive, for all that can be known."""
    me = here()
    me.interpreter = theirs
    monkeypatch.setattr(liveness, "interpreter_id", lambda: mine)
    world.made(world.member("a", who=me), "/1")
    world.kill("a")
    assert not world.reap().swept
    assert world.cleaned == []
    monkeypatch.setattr(liveness, "interpreter_id", lambda: theirs)
    assert world.reap().swept


def test_another_program_in_a_forked_process(world: WrittenScope) -> None:
    """A forked child that made nothing and runs another program now is dead; else it is alive."""
    facts = pids.process_facts(os.getppid())
    assert facts is not None
    assert facts.started is not None
    place = (pids.boot_id(), pids.pid_namespace())
    for token, image in (("same", facts.image), ("other", facts.image + 1), ("made", 1)):
        world.member(token, who=Identity(os.getppid(), facts.started, *place, image=image))
    world.made("made", "/1")
    for token in ("same", "other", "made"):
        world.kill(token)
    world.reap()
    with world.hold() as held:
        assert sorted(held.members()) == ["made", "same"]
    # Nobody of them will ever die for this test.
    with world.hold() as held:
        held.sweep()


def test_a_member_that_never_said_who_it_is(world: WrittenScope) -> None:
    """Of one without a pid only the lock tells."""
    a = world.member("a", who=None)
    assert not world.reap().swept
    world.kill(a)
    assert world.reap().swept


def test_garbage_is_reported_and_kept(world: WrittenScope) -> None:
    """Of a damaged journal what can be read is obeyed, and the rest kept for its owner to see."""
    a = world.member("a")
    world.made(a, "/1")
    world.journal_locks[a].append(b"\n\0\0garbage\0")
    world.made(a, "/2")
    world.kill(a)
    for _ in range(2):
        reaped = world.reap()
        assert errors(reaped) == [JournalDamaged]
        assert not reaped.swept
    assert world.cleaned == ["/2", "/1"]


def test_a_newer_journal_is_not_touched(world: WrittenScope) -> None:
    """A dead member of a newer format is reported, and keeps the scope as it is."""
    a = world.member("a")
    world.made(a, "/1")
    with world.hold():
        newer = journal.seal('["lastout",2,"b"]') + b"\nwhatever"
        world.backend.publish("s", "b", newer).close()
    world.kill(a)
    assert errors(world.reap()) == [JournalTooNew]
    assert world.cleaned == []
    with world.hold() as held:
        assert held.read("b") == newer


def test_a_full_disk_does_not_stop_cleaning(
    world: WrittenScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be marked is cleaned all the same: that may be what makes room."""
    a, b = world.member("a"), world.member("b", who=here())
    world.made(a, "/1", lifetime="member")
    world.kill(a)
    with world.hold() as held:

        def full(member: str, records: bytes) -> None:
            raise SystemRefused("no space", path="/r/s")

        monkeypatch.setattr(type(held), "append", lambda self, *args: full(*args))
        reaped = reaper.reap(held, "/r/s", world.clean, Deadline())
    assert world.cleaned == ["/1"]
    assert errors(reaped) == [SystemRefused]
    assert b in world.journal_locks


@pytest.mark.parametrize(
    ("kind", "broken", "ended"),
    [
        ("popen", False, True),
        ("popen", True, False),
        ("file", False, False),
        ("semaphore", False, False),
    ],
)
def test_that_a_process_was_ended_is_said(
    world: WrittenScope, kind: str, broken: bool, ended: bool
) -> None:
    """Whether processes were ended is said, and only then: they may have been members."""
    a = world.member("a")
    world.made(a, "it", kind=kind)
    world.broken = {"it"} if broken else set()
    world.kill(a)
    assert world.reap().ended is ended


@pytest.mark.parametrize("error", [SystemRefused("no", path="/r/s"), OSError("no")])
def test_a_scope_that_cannot_be_removed(
    world: WrittenScope, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Why a scope could not be removed is reported, and it does not count as removed."""
    world.kill(world.member("a"))
    with world.hold() as held:

        def refuse(_: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(type(held), "sweep", refuse)
            reaped = reaper.reap(held, "/r/s", world.clean, Deadline())
    assert errors(reaped) == [type(error)]
    assert not reaped.swept
    assert world.reap().swept


def test_what_remains_of_a_scope_is_reported(
    world: WrittenScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scope that is gone, but for what could not be deleted of it, says so, and only then."""
    world.kill(world.member("a"))
    reaped = world.reap()
    assert (reaped.swept, errors(reaped)) == (True, [])
    world.kill(world.member("b"))
    with world.hold() as held:
        monkeypatch.setattr(type(held), "sweep", lambda _: SystemRefused("no", path="/r/garbage-1"))
        reaped = reaper.reap(held, "/r/s", world.clean, Deadline())
    assert (reaped.swept, errors(reaped)) == (True, [SystemRefused])
    monkeypatch.undo()
    world.reap()


def test_time_that_runs_out_is_shared(world: WrittenScope) -> None:
    """Each artifact gets a part of the time left, so a slow one leaves some for the rest."""
    a, given = world.member("a"), []
    for number in range(3):
        world.made(a, f"{number}", kind="command")
    world.kill(a)

    def clean(kind: str, location: str, data: object, deadline: Deadline) -> None:
        given.append(deadline.left())

    with world.hold() as held:
        reaper.reap(held, "/r/s", clean, Deadline(8))
    assert 3 < given[0] <= 4 < given[2] <= 8
    with world.hold() as held:
        held.sweep()


def test_tokens_are_fit_for_names() -> None:
    """A token is a plain name without a dot, which ids rely on."""
    assert new_token().isalnum()


def test_one_that_left_is_dead(world: WrittenScope) -> None:
    """Who left is dead, though its process lives on; what it left behind is cleaned."""
    a = world.member("a", who=here())
    liveness.ours.add("a")
    world.made(a, "/1")
    world.journal_locks[a].append(journal.left(99))
    world.journal_locks.pop(a).give_up()
    assert world.reap().swept
    assert world.cleaned == ["/1"]
    liveness.ours.discard("a")


class Meddled:
    """A held scope in which something happens just before a member is looked at, once."""

    def __init__(self, held: LockedScope, member: str, happens: Callable[[], object]) -> None:
        self._held = held
        self._member = member
        self._happens: Callable[[], object] | None = happens

    def is_held(self, member: str) -> bool:
        if member == self._member:
            self._happen()
        return self._held.is_held(member)

    def _happen(self) -> None:
        happens, self._happens = self._happens, None
        if happens:
            happens()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._held, name)


def test_one_that_forked_and_died_while_others_were_looked_at(world: WrittenScope) -> None:
    """Nothing goes under a child that got its journal after the members were listed."""
    a = world.member("a")
    world.made(a, "/scope")
    start = journal.header("b")

    def fork_and_die() -> None:
        world.journal_locks["b"] = world.backend.publish("s", "b", start)  # as a fork does, unheld
        world.kill(a)

    with world.hold() as held:
        meddled: Any = Meddled(held, a, fork_and_die)
        assert not reaper.reap(meddled, "/r/s", world.clean, Deadline()).swept
    assert world.cleaned == []
    world.kill("b")
    assert world.reap().swept
    assert world.cleaned == ["/scope"]


def test_one_that_writes_while_it_is_judged(
    world: WrittenScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a member without its lock wrote just before it died is cleaned too."""
    a = world.member("a")
    world.kill(a)
    judge = liveness.is_dead
    late = journal.made(world.tick(), 1, "file", "/late", "scope", (), {})
    with world.hold() as held:

        def write_and_die(of: journal.Journal) -> bool:
            held.append(a, late)
            return judge(of)

        monkeypatch.setattr(liveness, "is_dead", write_and_die)
        assert reaper.reap(held, "/r/s", world.clean, Deadline()).swept
    assert world.cleaned == ["/late"]
