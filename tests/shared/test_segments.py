"""Shared memory and semaphores: ours to remove, unknown to the resource tracker."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
from multiprocessing import resource_tracker, shared_memory
from typing import TYPE_CHECKING

import pytest

from lastout import errors
from lastout._scopes.kinds import paths
from lastout._scopes.kinds import untracked as segments
from support.artifacts import Made, make, recipe, track
from support.unshared import run_mounted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program

KINDS = ["shared_memory", "semaphore"]


def one(kind: str, name: str | None = None) -> Made:
    """One of that kind; shared memory is closed at once, so that only its name is left."""
    made = make(kind, 64 if kind == "shared_memory" else 1, name)
    if kind == "shared_memory":
        made.given.close()
    return made


def is_there(made: Made) -> bool:
    """Whether it can still be opened by its name."""
    try:
        if made.kind == "semaphore":
            segments.Semaphore(made.location)
        else:
            segments.SharedMemory(made.location).close()
    except FileNotFoundError:
        return False
    return True


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the resource tracker is told meanwhile; it must stay empty."""
    heard: list[object] = []
    for name in ("register", "unregister"):
        monkeypatch.setattr(resource_tracker, name, lambda *args: heard.append(args))
    return heard


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_made_is_cleaned_and_cleaned_twice(kind: str, told: list[object]) -> None:
    """Cleaning unlinks it; again is fine; the tracker hears of none of it."""
    made = one(kind)
    assert is_there(made)
    made.clean()
    assert not is_there(made)
    made.clean()
    assert told == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_maker_that_was_cut_off_is_cleaned_after(kind: str) -> None:
    """What was made, but of which nothing more was recorded, is removed all the same."""
    made = one(kind)
    made.as_if_cut_off().clean()
    assert not is_there(made)


@pytest.mark.parametrize("kind", KINDS)
def test_another_one_of_its_name_is_left_alone(kind: str) -> None:
    """One that somebody made under the same name after ours was gone is theirs."""
    made = one(kind)
    # Ours keeps its inode for as long as it is open, so theirs has another one.
    held = os.open(f"/dev/shm/{'sem.' if kind == 'semaphore' else ''}{made.location}", os.O_RDONLY)
    made.clean()
    theirs = one(kind, made.location)
    with pytest.raises(errors.ArtifactReplaced, match="another one"):
        made.clean()
    assert is_there(theirs)
    os.close(held)
    theirs.clean()


@pytest.mark.parametrize("kind", KINDS)
def test_what_exists_is_not_made_again(kind: str) -> None:
    """A name that is taken is refused, before and at the making."""
    name = paths.fresh_name("lastout")
    create = recipe(kind, 64, name).create
    made = one(kind, name)
    with pytest.raises(errors.ArtifactExists):
        one(kind, made.location)
    assert create is not None
    with pytest.raises(errors.ArtifactExists):
        create()
    assert is_there(made)
    tracked = track(kind, made.location)
    tracked.clean()
    assert not is_there(made)
    with pytest.raises(errors.ArtifactMissing):
        track(kind, made.location)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\0b", "\ud800", "x" * 241])
def test_impossible_names_are_the_callers_act(kind: str, name: str) -> None:
    """A name that the system cannot have is refused with a reason."""
    with pytest.raises(errors.UsageError, match="cannot be the name"):
        one(kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_long_and_odd_names_are_names(kind: str) -> None:
    """What is allowed works: 240 bytes, spaces, other alphabets."""
    for name in ("lastout é ü", "y" * 240):
        made = one(kind, name)
        made.clean()
        assert not is_there(made)


def test_bad_numbers_are_the_callers_act() -> None:
    """Sizes and values that cannot be are refused before anything is recorded."""
    for size in (0, -1, 2**64):
        with pytest.raises(errors.UsageError, match="size must be"):
            make("shared_memory", size)
    for size in ("1", 1.5, None, True):
        with pytest.raises(TypeError, match="size must be an int"):
            make("shared_memory", size)
    with pytest.raises(errors.UsageError, match="value must be"):
        make("semaphore", -1)
    with pytest.raises(TypeError, match="name of a semaphore"):
        make("semaphore", 1, 5)


def test_more_than_there_is_room_for(tmp_path: Path) -> None:
    """It is refused when it is made: how much, and where; nothing is left, and less can be had."""
    script = """
    import os
    import lastout
    with lastout.Scope("s") as scope:
        try:
            scope.shared_memory(8 << 20)
        except lastout.errors.SystemRefused as error:
            print(error.errno, error.path, error, os.listdir("/dev/shm"), scope.artifacts())
        memory = scope.shared_memory(1 << 20)
        memory.buf[:] = bytes(len(memory.buf))
        memory.close()
    print(os.listdir("/dev/shm"))
    """
    ran = run_mounted("mount -t tmpfs -o size=2m tmpfs /dev/shm", script)
    assert (ran.returncode, ran.stderr) == (0, "")
    first, second = ran.stdout.splitlines()
    assert first.startswith(f"{errno.ENOSPC} /dev/shm cannot make shared memory of 8388608 bytes")
    assert first.endswith("[] ()")
    assert second == "[]"


def test_its_room_is_taken_at_once(tmp_path: Path) -> None:
    """What was made can be written to, however full the memory gets later."""
    made = make("shared_memory", 9 << 20)
    made.given.close()
    assert os.stat(f"/dev/shm/{made.location}").st_blocks * 512 >= 9 << 20
    made.clean()


def test_signals_while_its_room_is_taken(program: Callable[..., Program]) -> None:
    """A timer that goes off again and again is heard, and does not keep it from being made."""
    child = program(
        """
        import signal
        import lastout
        from say import say
        rings = []
        with lastout.Scope("s") as scope:
            scope.shared_memory(1).close()  # all that it takes is loaded
            signal.signal(signal.SIGALRM, lambda *_: rings.append(1))
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            memory = scope.shared_memory(96 << 20)
            signal.setitimer(signal.ITIMER_REAL, 0)
            say(len(memory.buf), len(rings) > 3)
            memory.close()
        """
    )
    assert (child.end().status, child.lines) == (0, [f"{96 << 20} True"])


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, None])
def test_a_system_that_cannot_take_room(
    number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where room cannot be taken before it is used, it is made as it always was."""

    def refuse(*_: object) -> None:
        assert number is not None
        raise OSError(number, os.strerror(number))

    if number is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    made = one("shared_memory")
    assert is_there(made)
    made.clean()


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_the_system_refuses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason, it is lastout's error, and the system's."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(segments, "SharedMemory", refuse)
    monkeypatch.setattr(segments, "Semaphore", refuse)
    with pytest.raises(errors.SystemRefused, match=r"Permission denied$") as caught:
        one(kind)
    assert caught.value.errno == errno.EACCES


def test_the_users_own_unlink_is_fine(told: list[object]) -> None:
    """It is the standard class: the user may unlink it, and cleaning finds it gone."""
    made = make("shared_memory", 64)
    assert isinstance(made.given, shared_memory.SharedMemory)
    made.given.buf[:5] = b"hello"
    made.given.unlink()
    made.given.close()
    made.clean()
    assert told == []


def test_a_copy_is_the_same_memory(told: list[object]) -> None:
    """Unpickled, it is opened by its name, and the tracker is not told either."""
    made = make("shared_memory", 64)
    copy = pickle.loads(pickle.dumps(made.given))
    made.given.buf[:5] = b"hello"
    assert bytes(copy.buf[:5]) == b"hello"
    copy.close()
    made.given.close()
    made.clean()
    assert told == []


def test_the_standard_class_is_as_it_was(told: list[object]) -> None:
    """Other users of shared memory in this process are still tracked."""
    standard = shared_memory.SharedMemory(create=True, size=8)
    standard.close()
    standard.unlink()
    assert len(told) == 2


def test_a_semaphore_counts_across_copies() -> None:
    """A copy is the same semaphore: what one takes the other misses."""
    made = make("semaphore", 2)
    copy = pickle.loads(pickle.dumps(made.given))
    with made.given:
        assert copy.acquire(timeout=10)
        assert not made.given.acquire(block=False)
        assert copy.get_value() == 0
        copy.release()
    assert copy.get_value() == 2
    assert made.location in repr(copy)
    made.clean()


@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_leave_it_alone(
    method: str, package: str, program: Callable[..., Program]
) -> None:
    """No child of any kind unlinks it, tracks it or warns of it."""
    memory, semaphore = make("shared_memory", 64), make("semaphore", 0)
    script = f"""
        import pickle
        import {package} as multiprocessing

        def use(memory, semaphore):
            memory.buf[0] += 1
            memory.close()
            semaphore.release()

        if __name__ == "__main__":
            memory = pickle.loads({pickle.dumps(memory.given)!r})
            semaphore = pickle.loads({pickle.dumps(semaphore.given)!r})
            context = multiprocessing.get_context({method!r})
            for _ in range(2):
                child = context.Process(target=use, args=(memory, semaphore))
                child.start()
                child.join()
                assert child.exitcode == 0
            memory.close()
        """
    try:
        ended = program(script).end()
        assert (ended.status, ended.err) == (0, "")
        assert memory.given.buf[0] == 2
        assert semaphore.given.get_value() == 2
    finally:
        memory.given.close()
        memory.clean()
        semaphore.clean()


def test_a_killed_maker_leaves_it_to_us(program: Callable[..., Program]) -> None:
    """After SIGKILL of who made it nobody but its cleaner removes it."""
    child = program(
        """
        import json, os, signal
        from lastout._scopes.kinds import shared_memory
        from say import say

        recipe = shared_memory.recipe(64)
        location, data, create = recipe.location, recipe.data, recipe.create
        memory, more = create()
        say(json.dumps([location, data | more]))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    child.end()
    made = Made("shared_memory", *json.loads(child.lines[0]))
    assert is_there(made)
    made.clean()
    assert not is_there(made)
