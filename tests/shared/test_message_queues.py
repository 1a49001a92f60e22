"""POSIX message queues: unlinked by name, and only the one that was recorded."""

from __future__ import annotations

import ctypes
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import errors
from lastout._platform import libc
from support.adopted import reap, shown, track_and_be_killed
from support.artifacts import track
from support.unprivileged import without_privileges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
NAME = f"lastout-test-{os.getpid()}"


def make(name: str = NAME, mode: int = 0o600) -> int:
    """Make a queue; a descriptor of it."""
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
    made: int = LIBC.mq_open(os.fsencode(f"/{name}"), flags, mode, None)
    assert made >= 0, os.strerror(ctypes.get_errno())
    return made


def is_there(name: str = NAME) -> bool:
    opened: int = LIBC.mq_open(os.fsencode(f"/{name}"), os.O_RDONLY)
    if opened >= 0:
        os.close(opened)
    return opened >= 0


@pytest.fixture(autouse=True)
def queue() -> Iterator[int]:
    """A queue of the name NAME."""
    made = make()
    yield made
    os.close(made)
    LIBC.mq_unlink(os.fsencode(f"/{NAME}"))


def test_it_is_unlinked() -> None:
    """Cleaning takes its name away; twice is once."""
    made = track("message_queue", NAME)
    made.clean()
    assert not is_there()
    made.clean()


def test_who_has_it_open_keeps_it(queue: int) -> None:
    """As with a file, only the name goes."""
    track("message_queue", NAME).clean()
    assert LIBC.mq_send(queue, b"still", 5, 0) == 0


def test_with_a_slash_or_without() -> None:
    """Both are the same name, as `mq_open` wants a slash and `/dev/mqueue` shows none."""
    assert track("message_queue", f"/{NAME}").location == track("message_queue", NAME).location


def test_one_that_was_made_anew_is_left_alone() -> None:
    """Another queue of that name stays, and is reported."""
    made = track("message_queue", NAME)
    LIBC.mq_unlink(os.fsencode(f"/{NAME}"))
    os.close(make())
    with pytest.raises(errors.ArtifactReplaced, match="another one"):
        made.clean()
    assert is_there()


def test_another_boot_took_it_along() -> None:
    """After a reboot whatever has the name is somebody else's."""
    made = track("message_queue", NAME)
    made.data["boot"] = "another"
    made.clean()
    assert is_there()


def test_gone_in_the_moment_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may unlink it after it was looked at."""
    made = track("message_queue", NAME)
    call = libc.call

    def be_late(name: str, *args: object) -> int:
        if name == "mq_unlink":
            call(name, *args)
        return call(name, *args)

    monkeypatch.setattr(libc, "call", be_late)
    made.clean()
    assert not is_there()


def test_no_descriptor_is_left() -> None:
    """Looking at it opens it, and closes it again."""
    before = os.listdir("/proc/self/fd")
    track("message_queue", NAME).clean()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("name", ["", "/", ".", "..", "a/b", "//a", "a\0b", "x" * 256, "\ud800"])
def test_what_cannot_be_a_name(name: str) -> None:
    """An impossible name is an error before anything is looked for."""
    with pytest.raises(errors.UsageError, match="cannot be the name"):
        track("message_queue", name)


def test_the_wrong_type() -> None:
    """A number is no name."""
    with pytest.raises(TypeError):
        track("message_queue", 7)


def test_one_that_is_not_there() -> None:
    """Nothing is recorded of what is not there."""
    with pytest.raises(errors.ArtifactMissing, match="none of that name"):
        track("message_queue", f"{NAME}-none")


def test_one_that_can_only_be_written_to(queue: int) -> None:
    """Its sender may hand it over too."""
    os.fchmod(queue, 0o200)
    assert without_privileges(lambda: track("message_queue", NAME).clean()) is None
    assert not is_there()


def test_one_that_may_not_be_opened(queue: int) -> None:
    """What cannot be known again is not recorded."""
    os.fchmod(queue, 0)
    raised = without_privileges(lambda: track("message_queue", NAME))
    assert isinstance(raised, errors.SystemRefused)
    assert "Permission denied" in str(raised)


def test_one_of_another_user(queue: int) -> None:
    """Who may not remove it cannot hand it over either, though he can read it."""
    if os.geteuid():
        pytest.skip("needs another user")
    os.fchown(queue, 65534, 65534)
    os.fchmod(queue, 0o666)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(errors.SystemRefused, match="belongs to user 65534"):
            track("message_queue", NAME)


def test_where_the_c_library_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without such queues says so."""
    monkeypatch.setattr(libc, "_find", find_nothing(libc._find))
    with pytest.raises(errors.SystemRefused, match=r"no mq_open\(\)"):
        track("message_queue", NAME)


def find_nothing(find: Callable[..., object]) -> Callable[..., object]:
    """As in a C library that has nothing at all."""

    class Empty:
        def __init__(self, *args: object, **kwargs: object) -> None:
            pass

    return lambda _, name: find(SimpleNamespace(CDLL=Empty), name)


def test_after_a_kill(tmp_path: Path) -> None:
    """What a killed process had handed over goes with the next reap."""
    track_and_be_killed(tmp_path / "root", "message_queue", NAME)
    assert is_there()
    reap(tmp_path / "root")
    assert not is_there()


def test_it_is_listed(tmp_path: Path) -> None:
    """`lastout show` names it."""
    with lastout.Scope("job", root=tmp_path / "root") as scope:
        scope.track("message_queue", NAME)
        assert NAME in shown(tmp_path / "root")
    assert not is_there()
