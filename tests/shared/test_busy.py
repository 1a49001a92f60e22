"""One thread leaves while another one makes, releases or joins: nothing is lost between them."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from itertools import count
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import Scope, UsageError
from lastout._scopes.kinds import file
from lastout._scopes.membership import joining
from lastout._scopes.membership.membership import Membership
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
from lastout.errors import ScopeBusy

if TYPE_CHECKING:
    from pathlib import Path

errors: list[BaseException] = []
interrupted = Event()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> tuple[Event, Event]:
    """Files are recorded, which is told, and made when the second event tells so."""
    recorded, go_on = Event(), Event()
    create = file._create

    def slowly(location: str) -> Any:
        recorded.set()
        assert go_on.wait(30)
        return create(location)

    monkeypatch.setattr(file, "_create", slowly)
    return recorded, go_on


def test_leaving_waits_for_what_is_being_made(tmp_path: Path, slow: tuple[Event, Event]) -> None:
    """What a thread has recorded and not yet made when another one leaves is cleaned as well."""
    recorded, go_on = slow
    scope = Scope("s")
    making = Thread(target=scope.file, args=(tmp_path / "x",))
    making.start()
    assert recorded.wait(30)
    leaving = Thread(target=scope.leave)
    leaving.start()
    leaving.join(0.05)
    assert leaving.is_alive(), "it did not wait"
    go_on.set()
    making.join()
    leaving.join()
    assert not (tmp_path / "x").exists()


def make_late(path: str) -> None:
    try:
        lastout.current_scope().file(path)
    except UsageError as error:
        errors.append(error)


def test_nothing_is_made_once_it_is_being_left(tmp_path: Path) -> None:
    """A cleanup that makes something in the scope that is being left is refused, with an error."""
    errors.clear()
    scope = Scope("s")
    scope.callback(make_late, os.fspath(tmp_path / "late"))
    assert scope.leave().ok
    [error] = errors
    assert "leaving" in str(error)
    assert not (tmp_path / "late").exists()


def leave_again() -> None:
    scope = lastout.current_scope()
    assert scope.leave().outcomes == ()
    members.extend(joining.joined.values())


members: list[Membership] = []


def test_a_cleanup_that_leaves_the_scope_that_is_being_left(tmp_path: Path) -> None:
    """A cleanup that leaves the very scope that is being left does nothing; the rest is cleaned."""
    members.clear()
    scope = Scope("s")
    scope.file(tmp_path / "x")
    scope.callback(leave_again)
    assert [outcome.status for outcome in scope.leave()] == ["done", "done"]
    assert [one.name for one in members] == ["s"], "it was out too early"
    assert not (tmp_path / "x").exists()


def test_making_and_leaving_at_any_moment(tmp_path: Path) -> None:
    """Whatever threads make while another one leaves is gone when it has left."""
    for number in range(30):
        place = tmp_path / f"{number}"
        place.mkdir()
        scope, begun = Scope("s"), Event()

        def make(
            name: str, scope: Scope = scope, begun: Event = begun, place: Path = place
        ) -> None:
            with suppress(UsageError):
                for each in count():
                    scope.file(place / f"{name}{each}")
                    begun.set()

        threads = [Thread(target=make, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        assert begun.wait(30)
        assert scope.leave().ok
        for thread in threads:
            thread.join()
        assert os.listdir(place) == []


def test_joining_while_another_thread_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who joins while another thread is leaving is in, and what it makes stays until it leaves."""
    deciding, go_on = Event(), Event()
    leave = Membership.leave

    def slowly(self: Membership, timeout: float | None = None) -> lastout.Report:
        deciding.set()
        go_on.wait(0.3)  # long enough for the other one, if nothing held it up
        return leave(self, timeout)

    monkeypatch.setattr(Membership, "leave", slowly)
    leaving = Thread(target=Scope("s").leave)
    leaving.start()
    assert deciding.wait(30)
    with Scope("s") as scope:
        go_on.set()
        made = scope.file(tmp_path / "x")
        leaving.join(30)
        assert os.path.exists(made)
        assert len(scope.members()) == 1
    assert not (tmp_path / "x").exists()


def test_threads_that_join_and_leave_all_the_time(tmp_path: Path) -> None:
    """However joins and leaves of several threads meet, each one can make things while it is in."""
    errors.clear()

    def come_and_go(name: str) -> None:
        try:
            for number in range(150):
                with Scope("s") as scope:
                    path = scope.file(tmp_path / f"{name}{number}")
                    assert os.path.exists(path)
        except BaseException as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [Thread(target=come_and_go, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []
    assert os.listdir(tmp_path) == ["root"]


def test_the_time_to_leave_counts_for_other_threads(
    tmp_path: Path, slow: tuple[Event, Event]
) -> None:
    """Where another thread does not come to an end in time, this process stays in, and says so."""
    recorded, go_on = slow
    scope = Scope("s")
    making = Thread(target=scope.file, args=(tmp_path / "x",))
    making.start()
    assert recorded.wait(30)
    began = monotonic()
    with pytest.raises(ScopeBusy):
        scope.leave(timeout=0.1)
    assert monotonic() - began < 10  # not the minute that it has otherwise
    go_on.set()
    making.join()
    assert scope.file(tmp_path / "y").kind == "file"
    assert scope.leave().ok
    assert os.listdir(tmp_path) == ["root"]


def test_the_time_to_leave_counts_for_other_processes(tmp_path: Path) -> None:
    """Where another process holds the scope for longer, this one goes, and the report says so."""
    scope = Scope("s")
    scope.file(tmp_path / "x")
    root, name = os.path.split(scope.path)
    with LocalBackend(root).lock_scope(name, Deadline(10)):  # type: ignore[union-attr]
        began = monotonic()
        report = scope.leave(timeout=0.1)
        assert monotonic() - began < 10
    assert [type(one.failure.exception) for one in report if one.failure] == [ScopeBusy]
    assert lastout.reap().ok
    assert os.listdir(tmp_path) == ["root"]


def test_an_interrupted_leave_can_be_tried_again(tmp_path: Path) -> None:
    """After Ctrl-C in a cleanup this process is still in: it can make more, and leave anew."""
    scope = Scope("s")
    scope.file(tmp_path / "x")
    scope.callback(interrupt_once, os.fspath(tmp_path / "interrupted"))
    interrupted.clear()
    with pytest.raises(KeyboardInterrupt):
        scope.leave()
    interrupted.set()
    assert (tmp_path / "x").exists()
    scope.file(tmp_path / "y")
    assert len(scope.members()) == 1
    assert scope.leave().ok
    assert sorted(os.listdir(tmp_path)) == ["interrupted", "root"]


def interrupt_once(path: str) -> None:
    if not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT))
        os.kill(os.getpid(), signal.SIGINT)
        interrupted.wait(30)
