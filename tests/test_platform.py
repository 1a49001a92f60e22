"""Platform: what is asked of this Python and this system, where the answer is a seldom one."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from lastout import _platform
from lastout._platform import files, pids
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Program


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Changes of a test that are over when it is looked for what that has left."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def without_proc(patch: pytest.MonkeyPatch) -> None:
    """In this test /proc is not mounted."""
    for name in ("open", "stat", "readlink", "listdir"):
        patch.setattr(os, name, _blind(getattr(os, name)))
    patch.setattr(os.path, "exists", lambda path: False)


def _blind(function: Callable[..., object]) -> Callable[..., object]:
    def blind(path: object, *rest: object, **more: object) -> object:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "not mounted", path)
        return function(path, *rest, **more)

    return blind


def test_a_python_without_subinterpreters(patch: pytest.MonkeyPatch) -> None:
    """Where there can be no subinterpreters this is the main one."""
    patch.setitem(sys.modules, "_xxsubinterpreters", None)
    assert _platform.in_main_interpreter()
    assert _platform.interpreter_id() == 0


def test_the_number_of_an_interpreter(patch: pytest.MonkeyPatch) -> None:
    """One that is not the main one is asked for its number."""
    patch.setattr(_platform, "in_main_interpreter", lambda: False)
    assert _platform.interpreter_id() == 0


def test_dying_of_what_does_not_kill() -> None:
    """A signal that does nothing, as most do to process 1, ends the process all the same."""
    pid = os.fork()
    if not pid:
        _platform.prepare_to_die()
        _platform.die_of(signal.SIGURG)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGURG


def test_what_cannot_be_shown() -> None:
    """A thing whose `repr` fails has a plain one."""

    class Shy:
        def __repr__(self) -> str:
            raise ValueError("not me")

    assert "Shy object at" in _platform.safe_repr(Shy())


@pytest.mark.usefixtures("without_proc")
def test_without_proc(tmp_path: Path) -> None:
    """Where /proc is not mounted, what it would tell is not known, and nothing fails."""
    place = os.open(tmp_path, os.O_RDONLY)
    try:
        assert files.mount_of(place) == f"device {os.stat(tmp_path).st_dev}"
        assert files.path_behind(place) == ""
    finally:
        os.close(place)
    assert pids.pid_namespace() == 0
    assert not pids.has_pidfds()
    assert not pids.can_list_processes()
    assert not pids.sees_all_processes()
    facts = pids.process_facts(os.getpid())
    assert facts is not None
    assert (facts.started, facts.image, facts.ending) == (None, 0, False)
    assert pids.process_facts(2**22 + 1) is None
    assert pids.parent_of(os.getpid()) is None


def test_another_system(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Where this is not Linux, what only Linux has is not asked for."""
    place = os.open(tmp_path, os.O_RDONLY)
    changed: list[object] = []
    patch.setattr(os, "chmod", lambda *what, **how: changed.append((what, how)))
    patch.setattr(sys, "platform", "other")
    patch.delattr(os, "pidfd_open")
    try:
        assert files.mount_of(place) == f"device {os.stat(tmp_path).st_dev}"
        files.unlock_directory("name", place)
        scratch = files.scratch_file()
    finally:
        os.close(place)
    os.write(scratch, b"x")
    os.close(scratch)
    assert changed == [(("name", 0o700), {"dir_fd": place, "follow_symlinks": False})]
    assert files.shared_memory_file("x") is None
    assert not pids.has_pidfds()
    assert not pids.adopt_orphans()
    facts = pids.process_facts(os.getpid())
    assert facts is not None
    assert facts.started is None


def test_a_process_of_somebody_else(patch: pytest.MonkeyPatch) -> None:
    """One that may not be signalled is there all the same."""

    def refuse(pid: int, signum: int) -> None:
        raise PermissionError

    patch.setattr(sys, "platform", "other")
    patch.setattr(os, "kill", refuse)
    assert pids.process_facts(1) is not None


def test_a_mount_without_a_number(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """A kernel that does not name the mount leaves the device."""
    patch.setattr(os, "read", lambda *_: b"pos:\t0\n")
    place = os.open(tmp_path, os.O_RDONLY)
    try:
        assert files.mount_of(place) == f"device {os.stat(tmp_path).st_dev}"
    finally:
        os.close(place)


def test_a_directory_without_rights(tmp_path: Path) -> None:
    """Its owner gets all rights to it again, and a link to one is not followed."""
    place = tmp_path / "closed"
    place.mkdir(0o000)
    (tmp_path / "link").symlink_to(place)
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="link"):
            files.unlock_directory("link", parent)
        assert stat.S_IMODE(place.stat().st_mode) == 0
        files.unlock_directory("closed", parent)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    finally:
        os.close(parent)


def test_the_boot_is_hidden(patch: pytest.MonkeyPatch) -> None:
    """A sandbox that hides which boot this is has one name for all of them."""
    patch.setattr(pids, "_boot_id", "")
    patch.setattr(os, "open", _blind(os.open))
    assert pids.boot_id() == "unknown"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EPERM])
def test_processes_that_cannot_be_held(number: int, patch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid it; for want of descriptors it is not known."""

    def refuse(pid: int) -> int:
        raise OSError(number, os.strerror(number))

    patch.setattr(os, "pidfd_open", refuse)
    if number == errno.EMFILE:
        with pytest.raises(OSError, match="open files"):
            pids.has_pidfds()
    else:
        assert not pids.has_pidfds()


def test_nothing_is_known_of_one_that_has_ended() -> None:
    """A process that is no more has no parent, no command and no environment."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert pids.parent_of(pid) is None
    assert pids.command_of(pid) == ""
    assert not pids.has_in_environment(pid, b"A=b")
    assert not pids.descends_from(pid, os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_title_without_an_end(program: Callable[..., Program]) -> None:
    """A process that wrote a long title over its command line has that one, and not none."""
    child = program(
        """
        import ctypes
        from say import say

        with open("/proc/self/stat") as stat:
            place = int(stat.read().rpartition(")")[2].split()[45])  # where its arguments lie
        ctypes.memset(place, ord("t"), 6000)  # over its environment too
        say("ready")
        input()
        """,
        env={"ROOM": "x" * 8000},
    )
    child.wait_for("ready")
    [title] = pids.command_line(child.pid)
    assert set(title) == {ord("t")}
    assert len(title) >= 4096 - 1
    child.kill()
    child.end()


def test_a_main_thread_that_has_ended(program: Callable[..., Program]) -> None:
    """A process whose main thread has ended lives as long as another thread of it does."""
    child = program(
        """
        import ctypes, threading
        from say import say

        threading.Thread(target=input).start()
        say("ready")
        ctypes.CDLL(None).pthread_exit(None)
        """
    )
    child.wait_for("ready")
    assert eventually(lambda: pids.process_facts(child.pid).ending is False and _is_defunct(child))
    child.kill()
    child.end()


def test_threads_that_end_while_they_are_looked_at(patch: pytest.MonkeyPatch) -> None:
    """One that has ended meanwhile counts as ending, and so do all of one that is gone."""
    patch.setattr(os, "listdir", lambda path: ["1", "2"])
    read = {"1": b"1 (a) Z 0 0 0 0 0 4 " + b"0 " * 40}

    def stat_of(path: str) -> bytes:
        thread = path.split("/")[-2]
        if thread not in read:
            raise ProcessLookupError
        return read[thread]

    patch.setattr(pids, "_read", stat_of)
    assert pids._all_threads_ending(7)
    read["2"] = b"2 (a) S 0 0 0 0 0 0 " + b"0 " * 40
    assert not pids._all_threads_ending(7)


def _is_defunct(child: Program) -> bool:
    with open(f"/proc/{child.pid}/stat", "rb") as stat_file:
        return b") Z " in stat_file.read()


SHOW = """
    import sys
    from lastout._platform import show_unraisable
    from say import say
    def shown(error):
        try:
            raise error
        except Exception as raised:
            before = set(sys.modules)
            show_unraisable(raised, print)
            return len(set(sys.modules) - before)
"""


def test_showing_loads_next_to_nothing(program: Callable[..., Program]) -> None:
    """Python's own hook shows a plain failure without loading its fifty modules."""
    child = program(SHOW + '    say(shown(ValueError("plain")) <= 3)', isolated=True)
    ended = child.end()
    assert child.lines == ["True"]
    assert "ValueError: plain" in ended.err
    assert "in shown" in ended.err


@pytest.mark.skipif(sys.version_info < (3, 15), reason="before, the hook never tells of them")
def test_showing_tells_all(program: Callable[..., Program]) -> None:
    """A failure with a cause or a note is shown with it, whatever that loads."""
    child = program(
        SHOW
        + """
    noted = ValueError("plain")
    noted.add_note("a note")
    caused = KeyError("effect")
    caused.__cause__ = OSError("the cause")
    shown(noted), shown(caused)
    """,
        isolated=True,
    )
    ended = child.end()
    assert "a note" in ended.err
    assert "the cause" in ended.err


@pytest.mark.parametrize("module", ["lastout", "lastout.errors", "lastout.pytest_plugin"])
def test_another_python_is_refused(program: Callable[..., Program], module: str) -> None:
    """On a Python that is not CPython importing anything says so, and what to do instead."""
    child = program(
        f"""
        import sys
        from say import say
        sys.implementation.name = "pypy"
        try:
            import {module}
        except ImportError as error:
            say(all(word in str(error) for word in ("pypy", "run it with CPython", "atexit")))
        """
    )
    assert child.end().status == 0
    assert child.lines == ["True"]
