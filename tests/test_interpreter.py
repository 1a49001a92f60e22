"""The interpreter: a Python that another program can be run by, and never the program itself."""

from __future__ import annotations

import errno
import subprocess
import sys
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from lastout._platform import interpreter as module
from lastout._platform import pids
from lastout._platform.interpreter import interpreter
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def not_asked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this test nobody has looked for one."""
    monkeypatch.setattr(module, "_found", {})


@pytest.fixture
def launcher(tmp_path: Path) -> Callable[[str, str], str]:
    """A script of that name, which leaves a mark each time that it is started."""

    def make(name: str, then: str = "") -> str:
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho >> {tmp_path}/started\n{then}\n")
        script.chmod(0o755)
        return str(script)

    return make


def starts(tmp_path: Path) -> int:
    """How often it was started."""
    mark = tmp_path / "started"
    return len(mark.read_text()) if mark.exists() else 0


def test_an_ordinary_python_is_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs this process is known without being tried."""
    monkeypatch.delattr(subprocess, "Popen")
    assert interpreter() == sys.executable


@pytest.mark.parametrize("name", ["uwsgi", "", None, "/nowhere/python"])
def test_a_host_that_is_no_python_is_not_started(
    name: str | None,
    monkeypatch: pytest.MonkeyPatch,
    launcher: Callable[..., str],
    tmp_path: Path,
) -> None:
    """Where `sys.executable` is the host, empty, `None` or gone, a real one is found."""
    monkeypatch.setattr(sys, "executable", launcher(name) if name == "uwsgi" else name)
    found = interpreter()
    assert found is not None
    said = subprocess.check_output([found, "-c", "import sys; print(sys.hexversion)"], timeout=60)
    assert int(said) == sys.hexversion
    assert starts(tmp_path) == 0


def test_one_that_is_not_this_process_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, launcher: Callable[..., str], tmp_path: Path
) -> None:
    """It is run, and what it says of itself is remembered."""
    wrapper = launcher("python3", f'exec {sys.executable} "$@"')
    monkeypatch.setattr(sys, "executable", wrapper)
    assert interpreter() == wrapper == interpreter()
    assert starts(tmp_path) == 1


OTHERS = {
    "another version": "echo cpython-26",
    "one without lastout": f'exec {sys.executable} -I -S -c "raise SystemExit(1)"',
    "one that cannot be run": "exit 127",
}


@pytest.mark.parametrize("other", OTHERS)
def test_one_of_another_kind_is_passed_over(
    other: str, monkeypatch: pytest.MonkeyPatch, launcher: Callable[..., str], tmp_path: Path
) -> None:
    """What is called python but is not this one is not used."""
    wrapper = launcher("python3", OTHERS[other])
    monkeypatch.setattr(sys, "executable", wrapper)
    assert interpreter() not in (None, wrapper)
    assert starts(tmp_path) == 1


def test_one_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch, launcher: Callable[..., str], tmp_path: Path
) -> None:
    """It is killed with all that it started when its time is over."""
    wrapper = launcher("python3", f"sleep 600 & echo $! > {tmp_path}/child; wait")
    monkeypatch.setattr(module, "_TIME_LIMIT", 0.5)
    monkeypatch.setattr(module, "_candidates", lambda: iter([wrapper]))
    began = monotonic()
    assert interpreter() is None
    assert monotonic() - began < 30
    assert eventually(lambda: not pids.command_line(int((tmp_path / "child").read_text())))


def test_a_frozen_program_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies about on the machine: nothing is tried."""
    monkeypatch.delattr(subprocess, "Popen")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert interpreter() is None


def test_where_none_is_installed_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python may be embedded with nothing but its library."""
    monkeypatch.setattr(sys, "executable", "/usr/bin/host")
    monkeypatch.setattr(sys, "_base_executable", "/usr/bin/host", raising=False)
    monkeypatch.setattr(module, "_installed_in", lambda: "/nowhere")
    for name in ("exec_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, name, "/nowhere")
    assert interpreter() is None


def test_one_that_could_not_be_tried_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, launcher: Callable[..., str]
) -> None:
    """For want of processes nothing is known of it."""
    wrapper = launcher("python3", f'exec {sys.executable} "$@"')
    monkeypatch.setattr(sys, "executable", wrapper)

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "no processes left")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        with pytest.raises(BlockingIOError):
            interpreter()
    assert interpreter() == wrapper
