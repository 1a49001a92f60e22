"""What every backend must do: the same tests for all of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lastout.backends.local import LocalBackend
from lastout.backends.memory import MemoryBackend
from lastout.deadline import Deadline
from lastout.errors import ScopeBusy, ScopeGone

if TYPE_CHECKING:
    from pathlib import Path

    from lastout.backends.base import Backend, LockedScope

SOON = Deadline(10)


@pytest.fixture(params=["local", "memory"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return LocalBackend(tmp_path / "place") if request.param == "local" else MemoryBackend()


def hold(backend: Backend, name: str = "s", create: bool = True) -> LockedScope:
    held = backend.lock_scope(name, Deadline(10), create)
    assert held is not None
    return held


def test_no_scope_yet(backend: Backend) -> None:
    """A scope that is not there is not made by looking."""
    assert backend.lock_scope("s", SOON) is None
    assert backend.scopes() == []
    with hold(backend, "s"):
        assert backend.scopes() == ["s"]
    with hold(backend, "s", create=False):
        pass


def test_a_member(backend: Backend) -> None:
    """A published journal is seen, held, and reads as it was written."""
    with hold(backend) as held:
        journal_lock = backend.publish("s", "abc", b"\none")
        assert held.members() == ["abc"]
        assert held.is_held("abc")
        journal_lock.append(b"\ntwo")
        assert held.read("abc") == journal_lock.read() == b"\none\ntwo"
        assert journal_lock.size() == 8
        assert not journal_lock.lost
        journal_lock.close()
        journal_lock.close()
        assert not held.is_held("abc")
        held.append("abc", b"\nthree")
        assert held.read("abc") == b"\none\ntwo\nthree"


def test_forget_and_sweep(backend: Backend) -> None:
    """A journal can be removed, and then the scope."""
    with hold(backend) as held:
        for member in ("a", "b"):
            backend.publish("s", member, b"\nx").close()
        held.forget("a")
        assert held.members() == ["b"]
        held.sweep()
    assert backend.scopes() == []
    with hold(backend) as held:
        assert held.members() == []


def test_publishing_beside_a_living_member_needs_no_hold(backend: Backend) -> None:
    """A living member can publish for its child while nobody holds the scope."""
    with hold(backend):
        mine = backend.publish("s", "a", b"\nx")
    journal_lock = backend.publish("s", "b", b"\ny")
    with hold(backend) as held:
        assert sorted(held.members()) == ["a", "b"]
        assert held.is_held("b")
    journal_lock.close()
    mine.close()


def test_publishing_where_nothing_is(backend: Backend) -> None:
    """A journal in a scope that is gone is refused."""
    with pytest.raises(ScopeGone, match="not there"):
        backend.publish("s", "a", b"")


def test_one_holder_at_a_time(backend: Backend) -> None:
    """While one thread holds a scope, another waits, and gives up at its deadline."""
    seen: list[str] = []
    started = threading.Event()

    def second() -> None:
        try:
            backend.lock_scope("s", Deadline(0.01))
        except ScopeBusy:
            seen.append("busy")
        started.set()
        with hold(backend):
            seen.append("second")

    with hold(backend):
        thread = threading.Thread(target=second)
        thread.start()
        assert started.wait(10)
        seen.append("first")
    thread.join(10)
    assert seen == ["busy", "first", "second"]


def test_many_threads_in_turn(backend: Backend) -> None:
    """Many at once get the scope one after another, and it is swept under none of them."""
    inside: list[int] = []
    crowds: list[int] = []

    def visit(number: int) -> None:
        for _ in range(20):
            with hold(backend) as held:
                inside.append(number)
                crowds.append(len(inside))
                inside.remove(number)
                held.sweep()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert crowds == [1] * 160
    assert backend.scopes() == []


def test_nothing_is_recorded_after_leaving(backend: Backend) -> None:
    """A lease that was given up takes no records any more."""
    with hold(backend):
        journal_lock = backend.publish("s", "a", b"\nx")
        journal_lock.give_up()
        assert journal_lock.lost
        with pytest.raises(ScopeGone):
            journal_lock.append(b"\nlate")
    journal_lock.close()


def test_nothing_is_left_to_tidy(backend: Backend) -> None:
    """Where every scope was swept whole, tidying finds nothing."""
    with hold(backend) as held:
        held.sweep()
    assert backend.tidy() == []
    assert backend.scopes() == []


def test_in_memory_there_are_no_descriptors() -> None:
    """What is in memory cannot be passed on to a program."""
    backend = MemoryBackend()
    with hold(backend):
        journal_lock = backend.publish("s", "a", b"\nx")
        with pytest.raises(OSError, match="no descriptors"):
            journal_lock.fileno()
