"""What only a race or a broken system brings, brought about on purpose."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import stat
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import errors, pickling
from lastout._identity import Identity
from lastout._platform import pids, process_ends
from lastout._scopes.kinds import directory as trees
from lastout._scopes.kinds import paths
from lastout._scopes.kinds import popen as processes
from lastout._scopes.kinds import process_groups as groups
from lastout._scopes.membership import joining, membership, waiting, workers
from lastout._scopes.reaping import orphans, reaper
from lastout._scopes.records import journal
from lastout._scopes.records.scope_lock import ScopeRef
from lastout._scopes.records.survey import ScopeSurvey
from lastout.backends.memory import MemoryBackend
from lastout.deadline import Deadline
from support import eventually
from support.world import NAME, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from support import Program


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that does nothing but fail."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    return refuse


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_one_that_ends_before_it_is_held(ended: int) -> None:
    """A member of a group that ends before it can be held is no member any more."""
    with groups.ProcessGroup("token", None, None) as group:
        group._hold(ended)
        assert group._held == {}
    gone: Any = SimpleNamespace(who=Identity(ended))
    assert orphans._hold(gone) is None


def test_one_that_ends_while_it_is_waited_for(ended: int) -> None:
    """Waiting for processes of which one has ended already lasts only its time."""
    waiting._sleep_until_one_ends([ended, None, os.getpid()], 0.01)


def test_the_session_of_one_that_has_ended(ended: int) -> None:
    """A process that has ended is in no session."""
    assert groups.session_of(ended) is None
    assert groups.session_of(os.getpid()) == os.getsid(0)


def test_a_worker_that_ends_before_it_is_told() -> None:
    """An orphan that has ended when it is to be told so is left in peace."""
    pid = os.fork()
    if not pid:
        signal.pause()
        os._exit(0)
    held = pids.open_pidfd(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        process_ends.send(held, signal.SIGTERM)
        assert process_ends.has_ended(held)
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("error", "there"), [(ProcessLookupError(), False), (PermissionError(), True)]
)
def test_a_group_of_somebody_else(
    error: OSError, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process group that may not be signalled is there."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", raising(error))
        assert groups._exists(7) is there


def test_records_that_are_no_json() -> None:
    """A record that is whole and cannot be read does not hide the others."""
    data = journal.header("a") + journal.left(1) + journal.seal("[broken") + journal.left(2)
    assert journal.records(data)[1:] == [["left", 1], ["left", 2]]


def test_another_thread_that_joins_for_ever() -> None:
    """Who cannot have its turn to join or leave says so, after a time."""
    with lastout.Scope("s") as scope:
        member = joining.joined[scope.path]
        begun, free = threading.Event(), threading.Event()

        def hang() -> None:
            with member.guarded(30):
                begun.set()
                free.wait(30)

        thread = threading.Thread(target=hang)
        thread.start()
        assert begun.wait(30)
        with pytest.raises(errors.ScopeBusy, match="another thread"), member.guarded(0.01):
            pytest.fail("two at once")
        free.set()
        thread.join()


def test_a_member_is_a_value() -> None:
    """A member is equal to its copy, and to nothing else, and says what it is."""
    with lastout.Scope("s") as scope:
        [one] = scope.members()
    assert pickle.loads(pickle.dumps(one)) == one
    assert len({one, pickle.loads(pickle.dumps(one))}) == 1
    assert one != one.token
    assert f"pid={os.getpid()}, alive" in repr(one)


def test_after_leaving() -> None:
    """A membership that was left, or whose scope was removed, says so."""
    scope = lastout.Scope("s")
    member = joining.joined[scope.path]
    shutil.rmtree(scope.path)
    with pytest.raises(errors.ScopeGone, match="was removed"), member.journal.lock_scope():
        pytest.fail("held")
    scope.leave()
    with pytest.raises(errors.UsageError, match="join it anew"):
        member.check()


def test_a_scope_that_is_left_while_it_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits behind a thread that leaves for good joins anew."""
    guarded, left = membership.Membership.guarded, list[str]()

    def late(member: membership.Membership, seconds: float) -> Any:
        if not left:
            left.append(member.path)
            joining.joined.pop(member.path)
        return guarded(member, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(membership.Membership, "guarded", late)
        scope = lastout.Scope("s")
    assert left == [scope.path]
    assert scope.path in joining.joined
    scope.leave()


def test_a_copy_of_another_process() -> None:
    """A process that was forked without telling us has no part in its parent's membership."""
    with lastout.Scope("s") as scope:
        member = joining.joined[scope.path]
        member.origin.pid += 1
        assert len(member.leave()) == len(scope.leave()) == 0
        member.origin.pid -= 1
        assert member.joined


def test_two_threads_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits behind another thread that leaves by the same scope gives back nothing again."""
    guarded = membership.Membership.guarded
    scope, other = lastout.Scope("s"), lastout.Scope("s")
    reports = []

    def late(member: membership.Membership, seconds: float) -> Any:
        patch.undo()
        reports.append(scope.leave())
        return guarded(member, seconds)

    with monkeypatch.context() as patch:
        other.directory()
        patch.setattr(membership.Membership, "guarded", late)
        reports.append(scope.leave())
    assert [len(report) for report in reports] == [0, 0]
    assert scope.path in joining.joined  # by the other one
    assert len(other.leave()) == 1


def test_ctrl_c_just_after_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scope that was left when Ctrl-C came is left, and is not left again."""
    leave = membership.Membership.leave
    scope = lastout.Scope("s")

    def interrupted(member: membership.Membership, timeout: float | None = None) -> Any:
        leave(member, timeout)
        raise KeyboardInterrupt

    scope.directory()
    with monkeypatch.context() as patch:
        patch.setattr(membership.Membership, "leave", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scope.leave()
    assert scope.path not in joining.joined
    assert len(scope.leave()) == 0
    with pytest.raises(errors.UsageError, match="left"):
        scope.directory()


def test_a_living_member_that_cannot_be_read() -> None:
    """What may lie in a directory, and cannot be told, keeps that directory; the rest goes."""
    backend = MemoryBackend()
    world = World(backend)
    world.join()
    world.join()
    world.make(0, "directory", "/place", "member", [])
    world.make(0, "file", "/alone", "member", [])
    held: Any = backend.lock_scope(NAME, Deadline(10), create=False)
    with held:
        survey = ScopeSurvey(held, NAME, leaving=world.members[0].token)
        survey._held = SimpleNamespace(read=raising(OSError("cannot be read")))  # type: ignore[assignment]
        ordered, edges = survey.plan(survey.due())
    for member in list(world.members):
        world.leave(member)
    assert [one.location for one in ordered] == ["/alone"]
    assert edges == {}
    assert "cannot be read" in str(survey.problems[-1].failure.exception)


def test_a_child_whose_scope_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked child that finds its scope removed has nothing to catch up with."""
    with lastout.Scope("s") as scope:
        member = joining.joined[scope.path]
        with monkeypatch.context() as patch:
            patch.setattr(ScopeRef, "lock", lambda _: nullcontext(None))
            member._handed_over = True
            report = member.report
            member._catch_up()
        assert not member._handed_over
        assert member.report is report


def test_a_file_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is somebody else's, and not known by its number, is not removed."""
    (tmp_path / "file").touch()
    found = os.lstat(tmp_path / "file")
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: found.st_uid + 1)
        with pytest.raises(errors.ArtifactReplaced, match=f"belongs to user {found.st_uid}"):
            paths.check_same("file", str(tmp_path / "file"), {}, found, stat.S_ISREG)


def test_modules_that_are_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that no finder finds, and what lies in it, cannot be imported elsewhere."""
    for name in ("nowhere", "nowhere.inner"):
        module = types.ModuleType(name)
        module.__spec__ = SimpleNamespace(origin=name)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, name, module)
    assert not pickling.module_can_be_imported("nowhere")
    assert not pickling.module_can_be_imported("nowhere.inner")
    assert pickling.module_can_be_imported("json.decoder")


def test_a_function_of_no_module() -> None:
    """A function that does not say where it is from is pickled whole."""
    scope: dict[str, Any] = {"__name__": None}
    exec("def double(x): return 2 * x", scope)
    double = scope["double"]
    assert double.__module__ is None
    assert pickling.loads(pickling.dumps(double))(2) == 4


def test_pickling_beside_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is never freed, as after a fork, does not keep anything from being pickled."""
    monkeypatch.setattr(pickling, "_PATIENCE", 0.01)
    with pickling._one_at_a_time, ThreadPoolExecutor(1) as another:
        pickled = another.submit(pickling.dumps, json.dumps).result(30)
    assert pickling.loads(pickled) is json.dumps


def test_no_descriptors_for_a_start_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be read when a process started, its token has to do."""
    with monkeypatch.context() as patch:
        patch.setattr(pids, "process_facts", raising(OSError("no descriptors")))
        assert processes.started_at(os.getpid()) is None


def test_journals_that_cannot_be_put_away(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all is cleaned and the scope itself cannot be removed, that is reported."""
    program("import os, lastout; lastout.Scope('s').directory(); os.kill(os.getpid(), 9)").end()
    with monkeypatch.context() as patch:
        patch.setattr(reaper, "_put_away", raising(OSError("read-only")))
        report = lastout.reap()
    assert not report.ok
    assert "read-only" in str(report)
    assert lastout.reap().ok


def test_a_parent_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory whose parent goes in the moment in which it is removed is gone as well."""
    place = tmp_path / "place"
    place.mkdir()
    found = os.lstat(place)
    data = {"inode": found.st_ino, "device": found.st_dev}
    with monkeypatch.context() as patch:
        patch.setattr(trees.os, "open", raising(FileNotFoundError()))
        trees.DirectoryKind().clean(str(place), data, Deadline())
    assert place.exists()
    trees.DirectoryKind().clean(str(place), data, Deadline())
    assert not place.exists()


def test_a_file_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be removed is named, and does not keep the others."""
    place = tmp_path / "place"
    place.mkdir()
    for name in ("one", "other"):
        (place / name).touch()
    found, openly = os.lstat(place), os.unlink

    def refuse(name: str, *, dir_fd: int) -> None:
        if name == "one":
            raise PermissionError(1, "immutable")
        openly(name, dir_fd=dir_fd)

    data = {"inode": found.st_ino, "device": found.st_dev}
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(errors.CleanupFailed, match="one: immutable"):
            trees.DirectoryKind().clean(str(place), data, Deadline())
    assert os.listdir(place) == ["one"]


@pytest.mark.parametrize("error", [FileNotFoundError(), IsADirectoryError()])
def test_a_file_that_changes_while_it_is_removed(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone, or a directory by now, is seen to by the next look."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").touch()
    found, openly, failed = os.lstat(place), os.unlink, list[str]()

    def once(name: str, *, dir_fd: int) -> None:
        openly(name, dir_fd=dir_fd)
        if not failed:
            failed.append(name)
            if isinstance(error, IsADirectoryError):
                os.mkdir(name, dir_fd=dir_fd)
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", once)
        data = {"inode": found.st_ino, "device": found.st_dev}
        trees.DirectoryKind().clean(str(place), data, Deadline())
    assert failed == ["file"]
    assert not place.exists()


def test_a_worker_whose_parent_is_dead_already(
    program: Callable[..., Program],
) -> None:
    """A worker that begins after its parent has died ends, also where SIGTERM is ignored."""
    child = program(
        """
        import os, signal
        import lastout
        from say import say

        scope = lastout.Scope("s", end_workers=True)
        begin = scope.worker
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        me = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == me:
            continue
        say("alone")
        try:
            begin()
        except SystemExit as end:
            say("ends", end.code)
        """
    )
    child.end()
    assert eventually(lambda: "ends 143" in child.lines), child.lines


def test_a_worker_says_what_it_is() -> None:
    """What begins a worker tells its scope and the grace that it has."""
    with lastout.Scope("s", end_workers=True, worker_grace=3.0) as scope:
        assert isinstance(scope.worker, workers.Worker)
        assert repr(scope.worker) == f"Worker({os.path.dirname(scope.path)!r}, 's', grace=3.0)"
