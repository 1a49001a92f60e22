"""Frozen programs: `sys.executable` is the program itself, which nobody starts again.

A launcher stands for it that leaves a mark when it is started.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout._platform import pids
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Ended, Program

FROZEN = """
    import atexit, os, signal, sys, time, warnings
    from pathlib import Path

    app = Path("python3").absolute()  # a program may be called so, too
    app.write_text(f"#!/bin/sh\\necho started >> {app.parent}/app.log\\ncat > /dev/null\\n")
    app.chmod(0o755)
    sys.frozen, sys.executable = True, str(app)

    import lastout
    from say import say

    def left_by_the_killed(function, *args):
        pid = os.fork()
        if not pid:
            lastout.Scope("s").callback(function, *args)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)

    def told(report):
        for one in report:
            say(one.status, one.failure and one.failure.exception)
"""


@pytest.fixture
def frozen(program: Callable[..., Program]) -> Callable[..., tuple[Program, Ended]]:
    """Run a frozen program to its end, which never starts itself again."""

    def run(text: str, **options: Any) -> tuple[Program, Ended]:
        child = program(FROZEN + text, **options)
        ended = child.end()
        assert not (child.directory / "app.log").exists()
        assert ended.status == 0, ended.err
        return child, ended

    return run


def test_a_callback_of_the_killed_is_called_in_a_fork(frozen: Any) -> None:
    """It is called once, in a process of its own, and the scope is gone."""
    child, _ = frozen("""
    main = os.getpid()
    left_by_the_killed(lambda: say("called", os.getpid() != main, os.getpgid(0) == os.getpid()))
    told(lastout.reap())
    told(lastout.reap())
    say(os.listdir(os.environ["LASTOUT_ROOT"]) == [])
    """)
    assert child.lines == ["called True True", "done None", "True"]


def test_a_bundled_module_is_found(frozen: Any) -> None:
    """What the program brought along for itself, wherever that is now, is what is called."""
    child, _ = frozen(
        """
    import types
    bundled = types.ModuleType("bundled")
    exec("from say import say\\ndef tidy(): say('bundled', sys.stdin.read() == '')", vars(bundled))
    """.replace("sys.stdin", "__import__('sys').stdin")
        + """
    bundled.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("bundled", None)
    sys.modules["bundled"] = bundled
    left_by_the_killed(bundled.tidy)
    told(lastout.reap())
    """
    )
    assert child.lines == ["bundled True", "done None"]


@pytest.mark.leaks("scopes", reason="a callback fails, and stays recorded")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.exit()", "done None"),
        ("sys.exit('no')", "failed the callback {} failed: it ended with status 1; it said: no"),
        ("print(1/0)", "division by zero"),
        ("os.kill(os.getpid(), 9)", "it was killed by SIGKILL; it said nothing"),
    ],
)
def test_how_it_ended_is_told(code: str, expected: str, frozen: Any) -> None:
    """As for one that runs in a Python of its own; what failed stays recorded."""
    child, ended = frozen(
        f"""
    def tidy():
        {code}
    print("of the program itself")  # not flushed yet
    left_by_the_killed(tidy)
    told(lastout.reap())
    say(os.listdir(os.environ["LASTOUT_ROOT"]) == [])
    """,
        env={"PYTHONUNBUFFERED": None},
    )
    failed = not code.endswith("exit()")
    said = "\n".join(child.lines[:-1])
    assert all(part in said for part in expected.split(" {} ")), said
    assert "of the program" not in said
    assert said.startswith("failed" if failed else "done")
    assert child.lines[-1] == str(not failed)
    assert ended.out.count("of the program itself") == 1


@pytest.mark.leaks("scopes", reason="a callback hangs, and stays recorded")
def test_one_that_hangs_is_killed(frozen: Any) -> None:
    """When its time is over it ends, with what it has started."""
    child, _ = frozen("""
    from lastout._scopes.kinds import command as commands
    commands.TIME_LIMIT = 0.5
    def tidy():
        say("pid", os.getpid(), __import__("subprocess").Popen(["sleep", "600"]).pid)
        time.sleep(600)
    left_by_the_killed(tidy)
    told(lastout.reap())
    """)
    hanging, outcome = child.lines
    assert "did not end in its time and was killed" in outcome
    for pid in hanging.split()[1:]:
        assert eventually(lambda pid=pid: not pids.command_line(int(pid)))


def test_its_variables_and_directory_are_those_of_a_cleaner(frozen: Any) -> None:
    """It runs where it was recorded, without the scope that is held."""
    child, _ = frozen("""
    os.environ["LASTOUT_SCOPE"] = "another"
    os.mkdir("there")
    os.chdir("there")
    left_by_the_killed(lambda: say(os.path.basename(os.getcwd()), "LASTOUT_SCOPE" in os.environ))
    os.chdir("/")
    told(lastout.reap())
    say(os.environ["LASTOUT_SCOPE"], os.getcwd())
    """)
    assert child.lines == ["there False", "done None", "another /"]


def test_the_last_one_out_of_a_frozen_program_calls_what_others_made(frozen: Any) -> None:
    """The last one out calls what another one made, also while the interpreter ends.

    CPython 3.12 forks no more by then: an error says so, and the next one calls it.
    """
    child, ended = frozen("""
    here = lastout.Scope("s")
    left_by_the_killed(os.mkdir, os.path.abspath("made"))
    """)
    made = child.directory / "made"
    if sys.version_info[:2] == (3, 12):
        assert "it cannot be started: can't fork at interpreter shutdown" in ended.err
        assert not made.exists()
        assert lastout.reap(name="s").ok
    assert made.is_dir()


def test_it_has_no_guardian(frozen: Any) -> None:
    """A warning says why, and the scope works without."""
    child, _ = frozen("""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with lastout.Scope("s", guardian=True) as scope:
            made = scope.directory()
    [one] = caught
    say(one.category.__name__, "this program is frozen" in str(one.message), os.path.exists(made))
    """)
    assert child.lines == ["GuardianWarning True False"]


def test_a_host_of_another_name_has_a_guardian_and_callbacks(
    program: Callable[..., Program],
) -> None:
    """Where Python is embedded, as in uWSGI, both are run by a real one."""
    text = FROZEN.replace("sys.frozen, sys.executable = True,", "sys.executable =")
    text = text.replace('"python3"', '"host"')
    child = program(
        text
        + """
    with lastout.Scope("s", guardian=True) as scope:
        say(len(scope.path) > 0)
    left_by_the_killed(os.rmdir, "there")
    os.mkdir("there")
    told(lastout.reap())
    say(os.path.exists("there"))
    """,
        env={"PYTHONWARNINGS": "error"},
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert not (child.directory / "app.log").exists()
    assert child.lines == ["True", "done None", "False"]
