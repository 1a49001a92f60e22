"""The local backend: files, locks, and what can happen to them."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lastout.backends import descriptors, held, journals, root
from lastout.backends.guards import take_guard
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
from lastout.errors import RootRefused, ScopeBusy, ScopeGone, SystemRefused
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lastout.backends.held import LockedDirectory
    from support import Program


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path / "place")


def hold(backend: LocalBackend, name: str = "s") -> LockedDirectory:
    found = backend.lock_scope(name, Deadline(10), create=True)
    assert found is not None
    return found


def test_nobody_else_can_look_in(backend: LocalBackend) -> None:
    """Root, scope and journals are for their owner only."""
    with hold(backend):
        journal_lock = backend.publish("s", "abc", b"\nx")
    for path, mode in {
        "": 0o700,
        "s": 0o700,
        "s/scope.lock": 0o600,
        "s/abc.journal": 0o600,
    }.items():
        assert os.stat(os.path.join(backend.place, path)).st_mode & 0o777 == mode
    journal_lock.close()


def test_locks_end_with_the_process(program: Callable[..., Program], tmp_path: Path) -> None:
    """A killed process holds neither its journal nor the scope any more."""
    backend = LocalBackend(tmp_path / "place")
    child = program(
        """
        import sys
        from lastout.deadline import Deadline
        from lastout.backends.local import LocalBackend
        from say import say

        backend = LocalBackend(sys.argv[1])
        held = backend.lock_scope("s", Deadline(), create=True)
        lease = backend.publish("s", "abc", b"")
        say("ready")
        input()
        """,
        args=[backend.place],
    )
    child.wait_for("ready")
    with pytest.raises(ScopeBusy, match="held by another process"):
        backend.lock_scope("s", Deadline(0))
    child.kill()
    child.end()
    with hold(backend) as scope:
        assert not scope.is_held("abc")
        scope.sweep()


def test_a_journal_is_seen_only_when_it_is_held(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal gets its name after its lock and its first records."""
    seen = []
    rename = os.rename

    def look(*names: str, **options: int) -> None:
        seen.append(scope.members())
        rename(*names, **options)
        seen.append(scope.is_held("abc"))

    with hold(backend) as scope:
        monkeypatch.setattr(journals.os, "rename", look)
        journal_lock = backend.publish("s", "abc", b"\nx")
    assert seen == [[], True]
    journal_lock.close()


def test_a_journal_that_cannot_be_written_leaves_nothing(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal whose first record fails is removed again, and the error says why."""

    def full(number: int, records: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with hold(backend):
        monkeypatch.setattr(journals.os, "write", full)
        with pytest.raises(SystemRefused, match="free some space") as caught:
            backend.publish("s", "abc", b"\nx")
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(os.path.join(backend.place, "s")) == ["scope.lock"]


def test_a_short_write_is_an_error(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of which only a part went in is an error."""
    with hold(backend):
        journal_lock = backend.publish("s", "abc", b"\nx")
    with monkeypatch.context() as patch:
        patch.setattr(journals.os, "write", lambda number, records: len(records) - 1)
        with pytest.raises(SystemRefused, match="only 1 of 2 bytes"):
            journal_lock.append(b"\ny")
    journal_lock.close()


def test_a_closed_descriptor_is_taken_back(backend: LocalBackend, tmp_path: Path) -> None:
    """Closed behind our back and its number used by a user's file: the journal is opened anew."""
    with hold(backend) as scope:
        journal_lock = backend.publish("s", "abc", b"\none")
        number = journal_lock.descriptor.number
        os.close(number)
        users = os.open(tmp_path / "users", os.O_RDWR | os.O_CREAT)
        assert users == number
        journal_lock.append(b"\ntwo")
        assert scope.read("abc") == b"\none\ntwo"
        assert scope.is_held("abc")
        assert os.fstat(users).st_size == 0
        journal_lock.close()
        os.close(users)  # still open: we did not close it


def test_a_journal_taken_by_somebody_else_is_lost(backend: LocalBackend) -> None:
    """A descriptor that was closed and cannot be had again is a clear error."""
    with hold(backend):
        journal_lock = backend.publish("s", "abc", b"\none")
    path = os.path.join(backend.place, "s", "abc.journal")
    thief = descriptors.PrivateDescriptor(path, os.O_RDWR)  # before, so that it has another number
    os.close(journal_lock.descriptor.number)
    assert journals._lock_soon(thief)
    assert journal_lock.lost
    with pytest.raises(ScopeGone, match="Join the scope anew"):
        journal_lock.append(b"\ntwo")
    thief.close()
    journal_lock.append(b"\ntwo")
    journal_lock.close()


def test_a_removed_scope_is_seen_before_anything_is_recorded(backend: LocalBackend) -> None:
    """A record must not go into a file that has no name any more; what is there can be read."""
    with hold(backend):
        journal_lock = backend.publish("s", "abc", b"\none")
    shutil.rmtree(os.path.join(backend.place, "s"))
    assert journal_lock.lost
    with pytest.raises(ScopeGone):
        journal_lock.append(b"\ntwo")
    assert journal_lock.read() == b"\none"
    journal_lock.close()


def test_a_look_does_not_make_the_dead_alive(backend: LocalBackend) -> None:
    """A guardian that looks at the lock of a dead member just now does not hide that it is dead."""
    with hold(backend) as scope:
        backend.publish("s", "abc", b"\none").close()
        with open(os.path.join(backend.place, "s", "abc.journal"), "rb") as journal:
            fcntl.flock(journal, fcntl.LOCK_SH)
            assert not scope.is_held("abc")
            fcntl.flock(journal, fcntl.LOCK_EX)
            assert scope.is_held("abc")


def test_a_forked_child_does_not_keep_its_parents_lock(backend: LocalBackend) -> None:
    """A child that closed what it inherited neither keeps nor frees its parent's lock."""
    with hold(backend) as scope:
        journal_lock = backend.publish("s", "abc", b"\none")
        read, write = os.pipe()
        child = os.fork()
        if not child:
            descriptors.close_inherited()
            os.write(write, b".")
            signal.pause()
        os.read(read, 1)
        assert scope.is_held("abc")
        journal_lock.close()
        assert not scope.is_held("abc")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for number in (read, write):
        os.close(number)


def test_a_sweep_that_was_killed_leaves_garbage_for_the_next(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage is no scope, and tidying deletes it; also when another one does so too."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with hold(backend) as scope:
        backend.publish("s", "abc", b"\none").close()
        monkeypatch.setattr(held, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            scope.sweep()
    assert backend.scopes() == []
    assert len(os.listdir(backend.place)) == 1
    backend.tidy()
    assert os.listdir(backend.place) == []
    backend.tidy()


def plant(backend: LocalBackend, kind: str) -> str:
    path = os.path.join(backend.place, "s", "planted.journal")
    if kind == "link":
        os.symlink("/etc/hostname", path)
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    else:
        with open(path, "wb"):
            os.chmod(path, 0o666)
    return path


@pytest.mark.parametrize("kind", ["link", "fifo", "writable"])
def test_a_planted_journal_is_refused(backend: LocalBackend, kind: str) -> None:
    """A journal that is a link, no file, or writable by others is not read and not written."""
    with hold(backend) as scope:
        plant(backend, kind)
        for act in (scope.read, lambda member: scope.append(member, b"x")):
            with pytest.raises((RootRefused, SystemRefused), match=r"planted\.journal"):
                act("planted")


def test_another_users_journal_is_refused(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that belongs to somebody else is not read."""
    with hold(backend) as scope:
        backend.publish("s", "abc", b"\none").close()
        me = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
        with pytest.raises(RootRefused, match=f"belongs to user {me}"):
            scope.read("abc")


@pytest.fixture
def few_descriptors() -> object:
    def limit(free: int) -> None:
        used = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
        # Holes below the limit are filled first.
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, before[1]))
        while len(filled) < used:
            try:
                filled.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        for _ in range(min(free, len(filled))):
            os.close(filled.pop())

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    filled: list[int] = []
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for number in filled:
        os.close(number)


@pytest.mark.parametrize("free", range(4))
def test_no_descriptors_left(
    backend: LocalBackend, few_descriptors: Callable[[int], None], free: int
) -> None:
    """Without descriptors there is a clear error, and none of the few is leaked."""
    with hold(backend) as scope:
        scope.members()
    few_descriptors(free)
    before = len(os.listdir(backend.place)) if free else 0
    with pytest.raises(SystemRefused, match="ulimit"):  # noqa: PT012
        found = backend.lock_scope("s", Deadline(1), create=True)
        with found:  # type: ignore[union-attr]
            backend.publish("s", "abc", b"")
    if free:
        assert len(os.listdir(backend.place)) == before
        for _ in range(free):
            os.close(os.open("/dev/null", os.O_RDONLY))


def test_no_locks_on_this_file_system(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without locks is refused; there is no softer lock instead."""

    def missing(number: int, **_: object) -> bool:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("lastout.backends.locks.lock_descriptor", missing)
    with pytest.raises(SystemRefused, match="no locks"):
        backend.lock_scope("s", Deadline(1), create=True)


def test_a_fork_waits_for_a_look(backend: LocalBackend) -> None:
    """Whoever locks out forks is let in again, in the same thread as often as it likes."""
    first = descriptors.lock_out_forks()
    second = descriptors.lock_out_forks()
    assert first
    assert second
    descriptors.let_in_forks(second)
    descriptors.let_in_forks(first)
    assert eventually(lambda: descriptors._forks.acquire(blocking=False))
    descriptors._forks.release()


def test_giving_up_frees_it_for_all(backend: LocalBackend) -> None:
    """Who leaves is gone, though a child that Python did not see still has the descriptor."""
    with hold(backend) as scope:
        closed, given_up = backend.publish("s", "a", b""), backend.publish("s", "b", b"")
        twins = [os.dup(one.descriptor.number) for one in (closed, given_up)]
        closed.close()
        given_up.give_up()
        assert scope.is_held("a")
        assert not scope.is_held("b")
        for number in twins:
            os.close(number)
        scope.sweep()


def test_a_lock_goes_though_the_system_does_not_say_whose_it_is(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor that cannot be looked at when it is closed does not keep its lock for ever."""
    held_ = hold(backend)

    def refused(number: int) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", refused)
        held_.__exit__(None, None, None)
    with backend.lock_scope("s", Deadline(0)) as again:  # type: ignore[union-attr]
        assert again.members() == []


def test_it_says_where_it_is(backend: LocalBackend) -> None:
    """A backend is shown with its place."""
    assert repr(backend) == f"LocalBackend({backend.place!r})"


def test_a_root_that_another_process_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two may make the same root at once: it is made once, and checked by both."""
    make = os.mkdir

    def late(path: str, mode: int) -> None:
        make(path, mode)
        raise FileExistsError(path)

    with monkeypatch.context() as patch:
        patch.setattr(root.os, "mkdir", late)
        root._make(str(tmp_path / "place"))
    assert (tmp_path / "place").is_dir()


def test_letting_go_twice(backend: LocalBackend) -> None:
    """A scope that was swept, and so let go of, is let go of once."""
    held_scope = hold(backend)
    with held_scope:
        pass
    held_scope.__exit__(None, None, None)


def test_nobody_is_no_member(backend: LocalBackend) -> None:
    """A journal that is not there is held by nobody, and one that cannot be looked at is told."""
    with hold(backend) as held_scope:
        assert not held_scope.is_held("nobody")


def test_a_mark_that_is_cut_off(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of which only a part went into another's journal is an error."""
    with hold(backend) as held_scope:
        journal_lock = backend.publish("s", "abc", b"\nx")
        with monkeypatch.context() as patch:
            patch.setattr(held.os, "write", lambda number, records: len(records) - 1)
            with pytest.raises(SystemRefused, match="free some space"):
                held_scope.append("abc", b"more\n")
    journal_lock.close()


def test_somebody_locks_all_that_is_new(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal of one's own that somebody else has locked is not published."""
    with hold(backend):
        monkeypatch.setattr(journals, "lock_descriptor", lambda *_, **__: False)
        with pytest.raises(RootRefused, match="somebody locks"):
            backend.publish("s", "abc", b"\nx")
    assert os.listdir(os.path.join(backend.place, "s")) == ["scope.lock"]


def test_garbage_that_does_not_go(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remains into which somebody writes again and again are left for the next one."""
    os.makedirs(os.path.join(backend.place, "garbage-1"), mode=0o700)
    looks = []

    def full(name: str, *, dir_fd: int) -> None:
        looks.append(name)
        raise OSError(errno.ENOTEMPTY, "not empty")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", full)
        assert backend.tidy() == []
    assert len(looks) > 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", lambda *_, **__: errno_raised(errno.EACCES))
        [(name, error)] = backend.tidy()
    assert (name, error.errno) == ("garbage-1", errno.EACCES)
    assert backend.tidy() == []
    assert not os.path.exists(os.path.join(backend.place, "garbage-1"))


def errno_raised(number: int) -> None:
    """Fail as the system does."""
    raise OSError(number, os.strerror(number))


def test_two_delete_the_same_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process has just deleted, of what a sweep left, is deleted."""
    (tmp_path / "garbage").mkdir(0o700)
    (tmp_path / "garbage" / "journal").touch()
    root = descriptors.PrivateDescriptor(str(tmp_path), os.O_RDONLY)

    def after_another(remove: Callable[..., None]) -> Callable[..., None]:
        def both(name: str, *, dir_fd: int) -> None:
            remove(name, dir_fd=dir_fd)
            remove(name, dir_fd=dir_fd)

        return both

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", after_another(os.unlink))
        patch.setattr(os, "rmdir", after_another(os.rmdir))
        assert journals.delete(root, "garbage", str(tmp_path / "garbage"), "s") is None
    root.close()
    assert os.listdir(tmp_path) == []


def test_forks_that_cannot_be_locked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who could not lock forks out, because one hangs, lets none in."""
    monkeypatch.setattr(descriptors, "_PATIENCE", 0.01)
    first = descriptors.lock_out_forks()
    assert first
    try:
        second = in_another_thread(descriptors.lock_out_forks)
        assert not second
        in_another_thread(lambda: descriptors.let_in_forks(second))
    finally:
        descriptors.let_in_forks(first)


def test_a_journal_that_is_gone_with_its_descriptor(backend: LocalBackend) -> None:
    """Closed behind our back and removed as well, a journal is lost, and says so."""
    with hold(backend):
        journal_lock = backend.publish("s", "abc", b"\none")
        os.close(journal_lock.descriptor.number)
        os.unlink(os.path.join(backend.place, "s", "abc.journal"))
        with pytest.raises(ScopeGone, match=r"abc\.journal"):
            journal_lock.read()
        assert journal_lock.lost
        journal_lock.close()


def test_a_guard_that_is_not_ours(backend: LocalBackend) -> None:
    """A file of a guardian's that others may write is refused, and let go of."""
    with hold(backend):
        pass
    place = os.path.join(backend.place, "s")
    planted = os.path.join(place, "guardian.lock")
    os.close(os.open(planted, os.O_CREAT | os.O_WRONLY, 0o600))
    os.chmod(planted, 0o666)
    with pytest.raises(RootRefused, match="guardian"):
        take_guard(place, create=False)


def in_another_thread(function: Callable[[], object]) -> object:
    """What a function gives on a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(30)
