"""Scope: joining, making things, looking, leaving; within one process."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Artifact, Scope, UsageError, current_scope
from lastout._scopes.membership import joining
from lastout._scopes.membership.workers import Worker
from lastout._scopes.records.scope_lock import ScopeRef
from lastout.backends.local import LocalBackend
from lastout.errors import (
    ArtifactExists,
    CleanupWarning,
    RootRefused,
    ScopeGone,
    SystemRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fresh names lie in the test's own directory, and no test stays in a scope."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    yield
    assert not [one.path for one in joining.joined.values() if one.joined]
    assert os.listdir(tmp_path / "tmp") == []


def journals(scope: Scope) -> bytes:
    return b"".join(path.read_bytes() for path in Path(scope).glob("*.journal"))


def test_the_last_one_out_cleans_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directories, files, sockets, memory, processes: all are there inside, and gone after."""
    monkeypatch.chdir(tmp_path)
    with Scope("s") as scope:
        directory = scope.directory()
        file = scope.file(directory / "notes")
        path = scope.socket(os.path.relpath(directory / "sock"))
        memory = scope.shared_memory(100)
        semaphore = scope.semaphore(2)
        process = scope.popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=directory
        )
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))  # the whole path may be too long for that
        Path(file).write_text("hello")
        memory.buf[0] = 7
        memory.close()
        assert len(scope.artifacts()) == 6
        semaphore = None  # noqa: F841
    assert not os.path.exists(directory)
    assert not os.path.exists(f"/dev/shm/{memory.name}")
    assert process.wait(10) != 0
    assert process.stdin is not None
    process.stdin.close()
    assert scope.report.ok
    assert len(scope.report) == 6
    assert not os.path.exists(scope.path)


def test_in_reverse_order() -> None:
    """What was made last goes first."""
    with Scope("s") as scope:
        made = [scope.file() for _ in range(5)]
    assert [one.name for one in scope.report] == [f"file {one}" for one in reversed(made)]


def test_recorded_before_it_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a thing comes to be, its name stands in the journal already."""
    seen = []
    mkdir = os.mkdir

    def look(path: str, *args: int, **options: int) -> None:
        if "scope" in globals_:
            seen.append(path.encode() in journals(globals_["scope"]))
        mkdir(path, *args, **options)

    globals_: dict[str, Scope] = {}
    with Scope("s") as scope:
        globals_["scope"] = scope
        monkeypatch.setattr(os, "mkdir", look)
        scope.directory()
        monkeypatch.undo()
    assert seen == [True]
    shutil.rmtree(scope.path, ignore_errors=True)


def test_what_cannot_be_recorded_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the error comes before the thing, and nothing is lost."""
    with Scope("s") as scope:
        before = scope.directory()
        with monkeypatch.context() as patch:
            patch.setattr("lastout.backends.journals.os.write", lambda *_: 3)
            with pytest.raises(SystemRefused, match="free some space"):
                scope.directory(tmp_path / "never")
        assert not (tmp_path / "never").exists()
        after = scope.directory()
    assert not os.path.exists(before)
    assert not os.path.exists(after)


def test_what_is_there_already_is_not_touched(tmp_path: Path) -> None:
    """Something that exists is refused, and stays."""
    (tmp_path / "mine").mkdir()
    with Scope("s") as scope:
        with pytest.raises(ArtifactExists):
            scope.directory(tmp_path / "mine")
        assert scope.artifacts() == ()
    assert (tmp_path / "mine").exists()


def test_what_appears_meanwhile_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something that appears between recording and making is another's, and is forgotten."""
    real = os.mkdir

    def beaten(path: str, *args: int, **options: int) -> None:
        real(path, *args, **options)
        if path == str(tmp_path / "theirs"):
            raise FileExistsError(path)

    with Scope("s") as scope:
        monkeypatch.setattr(os, "mkdir", beaten)
        with pytest.raises(ArtifactExists):
            scope.directory(tmp_path / "theirs")
        assert scope.artifacts() == ()
    assert (tmp_path / "theirs").exists()


def test_what_exists_already_can_be_tracked(tmp_path: Path) -> None:
    """Something that exists can be handed over."""
    (tmp_path / "there").write_text("x")
    with Scope("s") as scope:
        scope.track("file", tmp_path / "there")
        with pytest.raises(UsageError, match="cannot track"):
            scope.track("nonsense", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_callbacks_and_commands(tmp_path: Path) -> None:
    """Functions and programs run as cleanups, newest first."""
    log = tmp_path / "log"
    with Scope("s") as scope:
        scope.callback(lambda: log.write_text(log.read_text() + "callback"))
        scope.command(["/bin/sh", "-c", f"echo command >{log}"])
    assert log.read_text() == "command\ncallback"


def test_release() -> None:
    """A released thing is cleaned at once, and not again."""
    with Scope("s") as scope:
        one, two = scope.directory(), scope.file()
        one.release()
        one.release()
        two.release()
        assert not os.path.exists(one)
        assert scope.artifacts() == ()
        os.mkdir(one)
        one.release()
        assert os.path.exists(one)
        os.rmdir(one)
    assert len(scope.report) == 0


def test_release_takes_what_lies_inside() -> None:
    """What must go first is released too, in order."""
    with Scope("s") as scope:
        outer = scope.directory()
        inner = scope.directory(outer / "inner")
        scope.file(inner / "file")
        other = scope.file()
        last = scope.file(after=other)
        outer.release()
        assert scope.artifacts() == (other, last)
        last.release()
        assert scope.artifacts() == ()
    assert not os.path.exists(outer)


def test_release_that_fails_stays_recorded(tmp_path: Path) -> None:
    """What cannot be released raises, and can be released again."""
    with Scope("s") as scope:
        file = scope.file()
        os.rename(file, tmp_path / "away")
        Path(file).touch()
        for _ in range(2):
            with pytest.raises(lastout.LastoutError, match="replaced"):
                file.release()
        assert len(scope.artifacts()) == 1
        os.remove(file)
        os.rename(tmp_path / "away", file)
        file.release()


def test_a_kept_artifact_is_never_cleaned(tmp_path: Path) -> None:
    """A kept thing is never cleaned."""
    with Scope("s") as scope:
        kept = scope.directory(tmp_path / "kept")
        kept.keep()
        kept.release()
        pickle.loads(pickle.dumps(kept)).keep()
    assert (tmp_path / "kept").exists()


def test_after_takes_artifacts_and_what_was_made_of_them(tmp_path: Path) -> None:
    """`after` takes artifacts and what was made of them, one or several."""
    with Scope("s") as scope:
        memory = scope.shared_memory(10)
        memory.close()
        process = scope.popen(["sleep", "60"])
        file = scope.file(after=process)
        second = scope.file(after=[memory, file])
    names = [one.name for one in scope.report]
    assert (
        names.index("popen sleep 60") < names.index(f"file {file}") < names.index(f"file {second}")
    )
    assert names.index(f"shared_memory {memory.name}") < names.index(f"file {second}")


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    """What lies inside a directory cannot go after it; nothing is made."""
    with Scope("s") as scope:
        outer = scope.directory()
        with pytest.raises(UsageError, match="cannot go after"):
            scope.file(outer / "x", after=outer)
        assert not os.path.exists(outer / "x")
        assert len(scope.artifacts()) == 1


def test_after_something_strange() -> None:
    """What no scope made, or another scope, cannot be waited for."""
    with Scope("s") as scope, Scope("t") as other:
        with pytest.raises(UsageError, match="not made by a scope"):
            scope.file(after="nonsense")
        with pytest.raises(UsageError, match="another scope"):
            scope.file(after=other.file())


def test_lifetimes_are_two() -> None:
    """Any other lifetime is refused before anything is made."""
    with Scope("s") as scope:
        with pytest.raises(UsageError, match="lifetime"):
            scope.directory(lifetime="forever")
        assert scope.artifacts() == ()


def test_one_membership_for_all_scopes_of_a_name() -> None:
    """The process leaves with the last of its `Scope` objects."""
    outer = Scope("s")
    with Scope("s") as inner:
        directory = inner.directory(lifetime="member")
        assert len(inner.members()) == 1
    assert os.path.exists(directory)
    with pytest.raises(UsageError, match="was left"):
        inner.directory()
    outer.leave()
    assert not os.path.exists(directory)


def test_unpickled_where_it_was_joined() -> None:
    """A scope unpickled in its own process stands for it, and does not end it."""
    with Scope("s") as scope:
        twin = pickle.loads(pickle.dumps(scope))
        assert twin.path == scope.path
        with twin:
            directory = twin.directory()
        assert os.path.exists(directory)
        assert len(scope.members()) == 1


def test_leaving_twice() -> None:
    """Leaving a second time does nothing."""
    scope = Scope("s")
    scope.directory()
    assert len(scope.leave()) == 1
    assert len(scope.leave()) == 0
    with Scope("s"):
        scope.leave()


def test_use_after_leaving() -> None:
    """A scope that was left says so, whatever is asked of it; its artifacts too."""
    with Scope("s") as scope:
        artifact = scope.directory()
    uses: list[Callable[[], object]] = [
        scope.directory,
        scope.members,
        scope.artifacts,
        lambda: scope.worker,
        lambda: pickle.dumps(scope),
        scope.__enter__,
        artifact.release,
        artifact.keep,
    ]
    for use in uses:
        with pytest.raises(UsageError, match="join"):
            use()
    assert "left" in repr(scope)


def test_joining_again_is_a_new_scope() -> None:
    """After the last one left, the same name is a new scope."""
    with Scope("s") as first:
        old = first.members()
    with Scope("s") as second:
        assert second.members() != old
        assert second.artifacts() == ()


def test_two_threads_leave_at_once() -> None:
    """Two threads that leave at once both come back, and all is cleaned once."""
    for _ in range(20):
        scopes = [Scope("s") for _ in range(4)]
        directory = scopes[0].directory()
        barrier = threading.Barrier(4)

        def leave(scope: Scope, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            scope.leave()

        threads = [threading.Thread(target=leave, args=(scope,)) for scope in scopes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not os.path.exists(directory)


def test_threads_make_and_release_at_once() -> None:
    """Threads that make and release do not disturb each other."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                one, two = scope.directory(lifetime="member"), scope.file()
                one.release()
                two.release()
        except BaseException as error:
            failures.append(error)

    with Scope("s") as scope:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert scope.artifacts() == ()
    assert len(scope.report) == 0


def test_what_is_not_cleaned_is_a_warning(tmp_path: Path) -> None:
    """Leaving a block tells what stays, and the next one to reap cleans it."""
    scope = Scope("s")
    file = scope.file()
    os.rename(file, tmp_path / "away")
    Path(file).touch()
    with pytest.warns(CleanupWarning, match="replaced"), scope:
        pass
    os.rename(tmp_path / "away", file)
    assert len(lastout.reap(name="s").done) == 1
    assert not os.path.exists(file)


def test_forgotten() -> None:
    """A scope that is dropped without leaving is a ResourceWarning, and the process stays in."""
    scope = Scope("s")
    with pytest.warns(ResourceWarning, match="never left"):
        del scope
    current_scope().leave()


def test_failing_to_join_leaves_nothing(tmp_path: Path) -> None:
    """A scope that cannot be joined warns of nothing later, and can be tried again."""
    (tmp_path / "file").touch()
    with pytest.raises(RootRefused):
        Scope("s", root=tmp_path / "file")
    with Scope("s", root=tmp_path / "dir"):
        pass


@pytest.mark.parametrize("name", ["a/b", "a\nb", "a\0b", "x" * 300, "\udcff", "", ".."])
def test_bad_names(name: str) -> None:
    """A name that no scope can have is refused."""
    with pytest.raises(UsageError, match="cannot be the name"):
        Scope(name)


def test_bad_options() -> None:
    """Options of the wrong type or out of range are refused, and nothing is made."""
    with pytest.raises(TypeError):
        Scope("s", wait="long")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        Scope("s", wait=-1)
    with pytest.raises(TypeError, match="end_workers"):
        Scope("s", end_workers=5.0)  # type: ignore[arg-type]
    for grace in (-1, float("inf")):
        with pytest.raises(UsageError, match="worker_grace"):
            Scope("s", worker_grace=grace)


def test_current_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one joined last, or the one that the environment names, or an error that says how."""
    with pytest.raises(UsageError, match="LASTOUT_SCOPE"):
        current_scope()
    with Scope("outer") as outer:
        with Scope("inner") as inner:
            assert current_scope().path == inner.path
        assert current_scope().path == outer.path
        monkeypatch.setenv("LASTOUT_SCOPE", "named")
        assert current_scope().path == outer.path
    named = current_scope()
    assert named.path == os.path.join(os.environ["LASTOUT_ROOT"], "named")
    named.leave()
    monkeypatch.setenv("LASTOUT_SCOPE", os.fspath(named))
    with current_scope() as again:
        assert again.path == named.path
    for bad in ("not/absolute", "a\nb"):
        monkeypatch.setenv("LASTOUT_SCOPE", bad)
        with pytest.raises(UsageError):
            current_scope()


def test_a_worker_joins_until_the_end() -> None:
    """The initializer for pools joins where it is called, once."""
    with Scope("s") as scope:
        worker = pickle.loads(pickle.dumps(scope.worker))
    assert isinstance(worker, Worker)
    worker("ignored")
    worker()
    assert len(current_scope().members()) == 1
    current_scope().leave()


def test_a_worker_that_is_a_thread_keeps_nobody_in() -> None:
    """Called in a process that is a member already, it changes nothing of when that leaves."""
    with Scope("s") as scope:
        made = scope.directory()
        thread = threading.Thread(target=scope.worker)
        thread.start()
        thread.join()
    assert not os.path.exists(made)


def test_a_removed_scope(tmp_path: Path, program: Callable[..., Program]) -> None:
    """Removed under us: nothing new is made, what was ours goes, what others may use is told."""
    scope = Scope("s")
    shared, mine = scope.directory(tmp_path / "shared"), scope.directory(lifetime="member")
    other = program("""
        import lastout
        from say import say
        scope = lastout.Scope("s")
        say("in")
        input()
        """)
    other.wait_for("in")
    shutil.rmtree(scope.path)
    with pytest.raises(ScopeGone):
        scope.directory(tmp_path / "never")
    assert not (tmp_path / "never").exists()
    report = scope.leave()
    assert not os.path.exists(mine)
    assert os.path.exists(shared)
    assert [str(shared) in str(one.failure.exception) for one in report.failed if one.failure] == [
        True
    ]
    other.tell()
    assert other.end().status == 0


def test_a_removed_scope_that_others_have_made_anew(
    tmp_path: Path, program: Callable[..., Program]
) -> None:
    """A new scope of the same name is not ours: it is left alone."""
    scope = Scope("s")
    shutil.rmtree(scope.path)
    child = program("""
        import lastout
        from say import say
        with lastout.Scope("s") as scope:
            directory = scope.directory()
            say("ready")
            input()
            say(len(scope.members()))
    """)
    child.wait_for("ready")
    scope.leave()
    child.tell()
    assert child.end().status == 0
    assert child.lines == ["ready", "1"]


def test_a_cleanup_cannot_wait_for_itself(tmp_path: Path) -> None:
    """A callback that looks at the scope being cleaned gets an error, not a deadlock."""
    errors: list[str] = []

    def look() -> None:
        try:
            scope.members()
        except UsageError as error:
            errors.append(str(error))

    with Scope("s") as scope:
        scope.callback(look)
    assert len(errors) == 1
    assert "cleanup" in errors[0] or "left" in errors[0]


def test_holding_twice_is_refused(tmp_path: Path) -> None:
    """The same thread cannot hold a scope twice; afterwards it can again."""
    backend = LocalBackend(tmp_path / "place")
    with ScopeRef(backend, "s").lock(create=True) as held:
        with pytest.raises(UsageError, match="that very scope"), ScopeRef(backend, "s").lock():
            pass
        assert held is not None
        held.sweep()
    with ScopeRef(backend, "s").lock() as nothing:
        assert nothing is None


def test_a_nameless_scope_is_new() -> None:
    """Without a name, a scope is nobody else's."""
    with Scope() as one, Scope() as two:
        assert one.path != two.path


def test_any_name(tmp_path: Path) -> None:
    """Undecodable bytes in a path are recorded and cleaned as they are."""
    with Scope("größe") as scope, warnings.catch_warnings():
        path = os.fsencode(tmp_path) + b'/\xff\xfe\n"x'
        made = scope.directory(path)
        assert os.path.isdir(path)
        (listed,) = scope.artifacts()
        assert listed == made
        assert isinstance(made, Artifact)
    assert not os.path.exists(path)
