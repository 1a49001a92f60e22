"""System V IPC: removed by number, and only what was recorded."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import errors
from lastout._platform import libc, namespaces, pids
from lastout._scopes.kinds import sysv, table
from lastout._scopes.kinds.base import Size
from support import eventually
from support.adopted import reap, shown, track_and_be_killed
from support.artifacts import Made, track
from support.unshared import unshared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CREATE, _RMID, _SETVAL = 0o1000, 0, 16
LIBC = ctypes.CDLL(None, use_errno=True)
MAKERS: dict[str, Callable[[], int]] = {
    "shm": lambda: LIBC.shmget(0, 4096, _CREATE | 0o600),
    "sem": lambda: LIBC.semget(0, 3, _CREATE | 0o600),
    "msg": lambda: LIBC.msgget(0, _CREATE | 0o600),
}
SORTS = sorted(MAKERS)


def remove(sort: str, number: int) -> None:
    if sort == "sem":
        LIBC.semctl(number, 0, _RMID)
    else:
        getattr(LIBC, f"{sort}ctl")(number, _RMID, None)


def is_there(sort: str, number: int) -> bool:
    lines = Path(f"/proc/sysvipc/{sort}").read_text().splitlines()[1:]
    return any(line.split()[1] == str(number) for line in lines)


@pytest.fixture(params=SORTS)
def sort(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def number(sort: str) -> Iterator[int]:
    """The number of one that is there."""
    made = MAKERS[sort]()
    assert made >= 0
    yield made
    remove(sort, made)


@pytest.fixture
def made(sort: str, number: int) -> Made:
    """Its record."""
    return track("sysv", f"{sort}:{number}")


def test_it_is_removed(sort: str, number: int, made: Made) -> None:
    """Cleaning removes it; twice is once."""
    made.clean()
    assert not is_there(sort, number)
    made.clean()


def test_with_its_number_goes_nothing_else(sort: str, number: int, made: Made) -> None:
    """Others of the same sort stay."""
    other = MAKERS[sort]()
    try:
        assert track("sysv", f"{sort}:{other}").location != made.location
        made.clean()
        assert is_there(sort, other)
    finally:
        remove(sort, other)


def test_one_that_got_its_number_is_left_alone(sort: str, number: int) -> None:
    """The kernel gives a number again; what then has it stays, and is reported."""
    made = track("sysv", f"{sort}:{number}")
    remove(sort, number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MAKERS, "sem", lambda: LIBC.semget(0, 4, _CREATE | 0o600))
        again = made_with_number(sort, number)
    if sort != "sem":
        # Made within one second by the same process they are alike: so this one is of another time.
        made.data["ctime"] -= 10
    with pytest.raises(errors.ArtifactReplaced, match="another one has its number"):
        made.clean()
    assert is_there(sort, again)


def made_with_number(sort: str, number: int) -> int:
    """Have the kernel give that very number to the next one."""
    try:
        Path(f"/proc/sys/kernel/{sort}_next_id").write_text(str(number))
    except OSError as error:
        pytest.skip(f"the kernel's next number cannot be chosen: {error}")
    again = MAKERS[sort]()
    assert again == number
    return again


def test_semaphores_that_were_set_are_the_same() -> None:
    """The kernel changes their time with each SETVAL, and all begin with one."""
    number = MAKERS["sem"]()
    try:
        made = track("sysv", f"sem:{number}")
        assert "ctime" not in made.data
        assert LIBC.semctl(number, 0, _SETVAL, 7) == 0
        made.clean()
        assert not is_there("sem", number)
    finally:
        remove("sem", number)


def test_shared_memory_that_somebody_is_attached_to() -> None:
    """It is removed, which is done although the kernel keeps it until they have detached."""
    LIBC.shmat.restype = ctypes.c_void_p
    number = MAKERS["shm"]()
    try:
        attached = ctypes.c_void_p(LIBC.shmat(number, None, 0))
        made = track("sysv", f"shm:{number}")
        made.clean()
        made.clean()
        with pytest.raises(errors.ArtifactMissing):
            track("sysv", f"shm:{number}")
        ctypes.memset(attached, 1, 4096)
        LIBC.shmdt(attached)
        assert not is_there("shm", number)
    finally:
        remove("shm", number)


def test_another_boot_took_it_along(sort: str, number: int, made: Made) -> None:
    """After a reboot whatever has the number is somebody else's."""
    made.data["boot"] = "another"
    made.clean()
    assert is_there(sort, number)


def test_of_another_namespace_that_lives(sort: str, number: int, made: Made) -> None:
    """In a container that still runs nothing of that number is touched here."""
    with subprocess.Popen([*unshared("--ipc"), "cat"], stdin=subprocess.PIPE) as inside:
        assert eventually(lambda: ipc_namespace(inside.pid) != ipc_namespace(os.getpid()))
        made.data["namespace"] = ipc_namespace(inside.pid)
        with pytest.raises(errors.CleanupFailed, match="another IPC namespace"):
            made.clean()
        inside.communicate(timeout=30)
    assert is_there(sort, number)


def test_of_another_namespace_that_is_gone(
    sort: str, number: int, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the last process of a container all that was in it is gone."""
    # The tests may be in a container, and not be allowed to look at all processes.
    monkeypatch.setattr(pids, "sees_all_processes", lambda: True)
    monkeypatch.setattr(pids, "process_ids", lambda: [os.getpid()])
    made.data["namespace"] = 1
    made.clean()
    assert is_there(sort, number)


def test_of_another_namespace_where_not_all_can_be_seen(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From within a container nobody can tell whether another one still runs."""
    monkeypatch.setattr(pids, "sees_all_processes", lambda: False)
    made.data["namespace"] = 1
    with pytest.raises(errors.CleanupFailed, match="another IPC namespace"):
        made.clean()


def ipc_namespace(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/ipc").st_ino


@pytest.mark.parametrize(
    "location",
    [
        "",
        "7",
        "shm",
        "shm:",
        "shm:-1",
        "shm:x",
        "shm: 7",
        "sem:٣",
        "/shm:7",
        "msg:2147483648",
        "SHM:1",
    ],
)
def test_what_names_nothing(location: str) -> None:
    """Anything but a sort and a number is an error, before it is looked for."""
    with pytest.raises(errors.UsageError, match="'shm:65538'"):
        track("sysv", location)


def test_the_wrong_type() -> None:
    """A number alone is no text."""
    with pytest.raises(TypeError):
        track("sysv", 7)


def test_one_that_is_not_there(sort: str, number: int) -> None:
    """Nothing is recorded of what is not there."""
    remove(sort, number)
    with pytest.raises(errors.ArtifactMissing, match="ipcs"):
        track("sysv", f"{sort}:{number}")


def test_one_of_another_user(sort: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not remove it cannot hand it over either, though all are shown to everybody."""
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(errors.SystemRefused, match="belongs to user"):
        track("sysv", f"{sort}:{number}")


def test_without_the_table(sort: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not tell what there is, nothing is recorded."""

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(sysv, "open", refuse, raising=False)
    with pytest.raises(errors.SystemRefused, match="/proc/sysvipc"):
        track("sysv", f"{sort}:{number}")


def test_gone_in_the_moment_between(
    sort: str, number: int, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may remove it after it was looked at."""
    call = libc.call

    def be_late(*args: Any) -> int:
        call(*args)
        return call(*args)

    monkeypatch.setattr(libc, "call", be_late)
    made.clean()
    assert not is_there(sort, number)


def test_the_kernel_refuses(
    sort: str, number: int, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is the error."""

    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(libc, "call", refuse)
    with pytest.raises(PermissionError):
        made.clean()


def test_whether_a_namespace_may_be_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is while a process is in it; one that ends meanwhile counts for nothing."""
    ended = 2**22 + 1  # no pid is so high
    monkeypatch.setattr(pids, "sees_all_processes", lambda: True)
    monkeypatch.setattr(pids, "process_ids", lambda: [ended, os.getpid()])
    assert namespaces.may_be_in_use("ipc", ipc_namespace(os.getpid()))
    assert not namespaces.may_be_in_use("ipc", 1)


def test_its_size() -> None:
    """Shared memory has the size that it was made with, semaphores none."""
    numbers = {sort: MAKERS[sort]() for sort in SORTS}
    try:
        sizes = {sort: table.size("sysv", f"{sort}:{one}", {}) for sort, one in numbers.items()}
        assert sizes["shm"] == Size(4096)
        assert sizes["msg"] == Size(0)
        assert sizes["sem"] is None
    finally:
        for sort, one in numbers.items():
            remove(sort, one)


def test_after_a_kill(sort: str, number: int, tmp_path: Path) -> None:
    """What a killed process had handed over goes with the next reap."""
    track_and_be_killed(tmp_path / "root", "sysv", f"{sort}:{number}")
    assert is_there(sort, number)
    reap(tmp_path / "root")
    assert not is_there(sort, number)


def test_it_is_listed(sort: str, number: int, tmp_path: Path) -> None:
    """`lastout show` names it."""
    with lastout.Scope("job", root=tmp_path / "root") as scope:
        scope.track("sysv", f"{sort}:{number}")
        assert f"{sort}:{number}" in shown(tmp_path / "root")
    assert not is_there(sort, number)
