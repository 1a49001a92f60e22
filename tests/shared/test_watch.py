"""What a guardian does at each event, step by step: with events and jobs that the test gives."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from lastout._identity import here
from lastout._scopes.guardian import main as watch
from lastout._scopes.guardian.jobs import GuardianJobs
from lastout._scopes.reaping import recovery
from lastout._scopes.records import journal as journals
from lastout._scopes.records.liveness import WatchState
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ProcessEvents:
    """Says of each process what the test says, and wakes when the test says so."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.rang = 0

    def follow(self, pid: int, started: int | None) -> bool:
        return pid in self.running

    def ring(self) -> None:
        self.rang += 1


class FakeJobs(GuardianJobs):
    """Begins no process, and says which jobs were asked for."""

    def __init__(self) -> None:
        super().__init__(-1, [])
        self.asked: list[str] = []
        self.fails = False

    def start(self, job: str, path: str, waited_for: object = None) -> int:
        if self.fails:
            raise OSError(errno.ENOMEM, "no memory")
        self.asked.append(job)
        self.running[-len(self.asked)] = job
        events.running.add(-len(self.asked))
        return -len(self.asked)

    def result(self, pid: int) -> tuple[str, bool]:
        return self.running.pop(pid), self.worked

    worked = True


events = ProcessEvents()


class Scene:
    """A scope whose members are files, and its guardian."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        global events
        events = ProcessEvents()
        monkeypatch.setattr(watch.events, "watch", lambda directory: events)
        self.place = place
        self.directory = os.open(place, os.O_RDONLY)
        self.jobs = FakeJobs()
        self.watch = watch.GuardianLoop(str(place), self.directory, self.jobs)

    def member(self, token: str, pid: int | None, parent: int | None = None) -> Path:
        """A journal that nobody has locked."""
        data = journals.header(token)
        for verb, number in ((journals.join, pid), (journals.worker, parent)):
            if number is not None:
                who = here()
                who.pid = number
                data += verb(1, who) if verb is journals.join else verb(who, 5.0)
        path = self.place / f"{token}.journal"
        path.write_bytes(data)
        return path

    def look(self) -> list[str]:
        """One turn of its loop, but for the sleeping; the jobs that it began."""
        before = len(self.jobs.asked)
        self.watch._let_go_of_lock()
        self.watch._look_if_possible()
        self.watch._start_jobs()
        return self.jobs.asked[before:]

    def end(self, pid: int) -> None:
        """A process has ended."""
        events.running.discard(pid)
        self.watch._take_note_of_end(pid)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scope without members."""
    place = tmp_path / "scope"
    place.mkdir()
    one = Scene(place, monkeypatch)
    yield one
    os.close(one.directory)


def test_the_dead_are_reaped_once(scene: Scene) -> None:
    """A dead member is a job, once; what the job could not clean is no reason for another."""
    events.running.add(10)
    scene.member("a", 10)
    assert scene.look() == []
    scene.end(10)
    assert scene.look() == ["reap"]
    scene.end(-1)
    assert scene.look() == []
    assert not scene.watch._expects_anything()


def test_a_process_that_nobody_waits_for(scene: Scene) -> None:
    """A process that has ended is not followed again, though the system still knows it."""
    events.running.add(10)
    scene.member("a", 10)
    scene.look()
    scene.watch._take_note_of_end(10)
    assert scene.look() == ["reap"]


def test_one_job_of_a_kind_at_a_time(scene: Scene) -> None:
    """Who dies while a job runs is seen to by the next one, when that has ended."""
    events.running |= {10, 11}
    scene.member("a", 10)
    scene.member("b", 11)
    scene.look()
    scene.end(10)
    assert scene.look() == ["reap"]
    scene.end(11)
    assert scene.look() == []
    assert scene.watch._time_left() is None
    scene.end(-1)
    assert scene.look() == ["reap"]


def test_one_that_left_is_no_job(scene: Scene) -> None:
    """A process that left in good order, and ends later, is no reason for a job."""
    events.running.add(10)
    journal = scene.member("a", 10)
    scene.look()
    journal.unlink()
    scene.look()
    scene.end(10)
    assert scene.look() == []


def test_a_parent_that_left(scene: Scene) -> None:
    """A parent that left, and ends later, has its workers ended."""
    events.running |= {10, 11}
    journal = scene.member("parent", 10)
    scene.member("worker", 11, parent=10)
    assert scene.look() == []
    journal.unlink()
    scene.look()
    scene.end(10)
    assert scene.look() == ["orphans"]


def test_a_parent_that_was_dead_before(scene: Scene) -> None:
    """A new guardian finds workers whose parent had ended before it came."""
    events.running.add(11)
    scene.member("worker", 11, parent=10)
    assert scene.look() == ["orphans"]


def test_a_silent_member(scene: Scene) -> None:
    """A forked child has a moment to say who it is; after that its lock tells, or it is dead."""
    scene.member("a", None)
    assert scene.look() == []
    assert 0 < (scene.watch._time_left() or 0) <= 0.05
    events.running.add(10)
    scene.member("a", 10)
    assert scene.look() == []
    scene.member("b", None)
    assert scene.look() == []
    assert scene.look() == ["reap"]


def test_a_lock_that_is_freed_while_it_looks(scene: Scene) -> None:
    """A job that saw our own lock on a journal is followed by another one.

    A thread has got the lock for which it waited, and has not let go of it yet;
    meanwhile a look finds the member dead, and a job takes it for alive.
    """
    journal = os.open(scene.member("a", None), os.O_RDONLY)
    fcntl.flock(journal, fcntl.LOCK_EX)
    scene.look()
    assert scene.look() == []
    assert scene.watch._waited_for
    fcntl.flock(journal, fcntl.LOCK_UN)
    os.close(journal)
    assert eventually(lambda: events.rang)
    scene.watch._look_if_possible()  # a look comes first
    scene.watch._start_jobs()
    assert scene.jobs.asked == ["reap"]
    scene.end(-1)
    assert scene.look() == ["reap"]
    assert scene.watch._waited_for is None


def test_a_lock_that_is_freed_by_one_that_is_followed(scene: Scene) -> None:
    """A member that says who it is while its lock is waited for is waited for by its process.

    Where that closes all descriptors, as daemons do, its lock is free and stays so.
    """
    journal = os.open(scene.member("a", None), os.O_RDONLY)
    fcntl.flock(journal, fcntl.LOCK_EX)
    scene.look()
    scene.look()
    assert scene.watch._waited_for
    events.running.add(10)
    scene.member("a", 10)
    assert scene.look() == []
    fcntl.flock(journal, fcntl.LOCK_UN)
    os.close(journal)
    assert eventually(lambda: events.rang)
    assert scene.look() == []
    assert scene.watch._waited_for is None
    scene.end(10)
    assert scene.look() == ["reap"]


def test_a_job_has_no_lock_of_ours(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the guardian's lock nor the journal that is waited for is open in a job."""
    told, lock = tmp_path / "told", os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    journal = os.open(scene.member("a", None), os.O_RDONLY)

    def is_open(number: int) -> bool:
        try:
            os.fstat(number)
        except OSError:
            return False
        return True

    def do(*_: str) -> None:
        told.write_text(f"{is_open(lock)} {is_open(journal)}")

    monkeypatch.setattr(recovery, "do", do)
    jobs = GuardianJobs(lock, [])
    pid = jobs.start("reap", str(scene.place), ("a", journal))
    assert jobs.result(pid) == ("reap", True)
    os.close(lock)
    os.close(journal)
    assert told.read_text() == "False False"


def test_a_job_that_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that cannot be started or does not come to its end is tried again, a few times."""
    clock = [1000.0]
    monkeypatch.setattr(watch, "monotonic", lambda: clock[0])
    scene.member("a", 10)
    scene.jobs.fails = True
    assert scene.look() == []
    pauses = []
    while (pause := scene.watch._time_left()) is not None:
        pauses.append(pause)
        clock[0] += pause
        scene.look()
    assert pauses == pytest.approx([0.1, 1.0, 5.0, 20.0])
    assert not scene.watch._expects_anything()
    scene.jobs.fails, scene.jobs.worked = False, False
    scene.member("b", 11)
    assert scene.look() == ["reap"]
    scene.end(-1)
    assert scene.look() == []


def test_a_scope_that_is_another(scene: Scene) -> None:
    """A scope that was swept, and made anew under its name, is not the one that it watches."""
    assert scene.watch._is_there()
    scene.place.rename(scene.place.with_name("garbage"))
    assert not scene.watch._is_there()
    scene.place.mkdir()
    assert not scene.watch._is_there()
    scene.watch.run()


def test_no_descriptors_for_a_look(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails, for want of descriptors, is taken again a second later."""
    scene.member("a", 10)

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "no descriptors")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        assert scene.look() == []
    assert 0 < (scene.watch._time_left() or 0) <= 1.0
    assert scene.look() == ["reap"]


def test_a_journal_that_is_swept_while_it_looks(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that was listed, and is gone when its journal is opened, is nobody."""
    scene.member("a", 10)
    scene.watch._states["b"] = WatchState.LOCKED
    names = ["a.journal", "b.journal", "c.journal"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda _: names)
        assert scene.look() == ["reap"]  # of "a"
    assert scene.watch._waited_for is None
    assert not scene.watch._is_worker_of("c", 10)
    assert WatchState.FOLLOWED not in scene.watch._states.values()


def test_a_worker_that_cannot_be_looked_at(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be read whose worker a member is, a job is to find out."""

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "no descriptors")

    events.running.update((10, 11))
    scene.member("a", 10)
    scene.member("b", 11)
    assert scene.look() == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        scene.end(11)
    assert "orphans" in scene.look()


def test_a_job_that_ends_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that has ended before it can be followed is taken note of all the same."""
    scene.member("a", 10)
    monkeypatch.setattr(events, "follow", lambda pid, started: False)
    assert scene.look() == ["reap"]
    assert scene.jobs.running == {}
