"""The tests' own tools: a check that finds nothing because it looks at nothing proves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import closing
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from support import quick
from support.leaks import Leaks

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


# Without root that is the whole machine's, where other programs come and go.
OURS = frozenset({"shared memory"})


@pytest.fixture
def leaks(tmp_path: Path) -> Leaks:
    """A check of its own, that gives up at once."""
    return Leaks(tmp_path / "root", os.environ["LASTOUT_TEST"], grace=0.0)


def test_a_child_process_is_found(leaks: Leaks) -> None:
    """A child that still runs is a leak, and none once it was waited for."""
    with subprocess.Popen(["sleep", "60"]) as child:
        assert [line for line in leaks.found(OURS) if f"processes: {child.pid} " in line]
        child.kill()
    assert leaks.found(OURS) == []


def test_an_orphan_is_found(leaks: Leaks, program: Start) -> None:
    """A process whose parent is gone, in a session of its own, is still found."""
    child = program(
        """
        import subprocess

        print(subprocess.Popen(["sleep", "60"], start_new_session=True).pid)
        """
    )
    orphan = int(child.end().out)
    found = leaks.found(OURS | {"descriptors"})
    os.kill(orphan, signal.SIGKILL)
    assert [line for line in found if f"processes: {orphan} " in line]


def test_a_thread_is_found(leaks: Leaks) -> None:
    """A thread that still runs is a leak."""
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    found = leaks.found(OURS)
    go.set()
    thread.join()
    assert found == [f"threads: thread {thread.native_id}"]


def test_a_descriptor_is_found(leaks: Leaks, tmp_path: Path) -> None:
    """An open file is a leak, named by its path."""
    with (tmp_path / "open").open("w"):
        assert [line for line in leaks.found(OURS) if line.endswith("/open")]
    assert leaks.found(OURS) == []


def test_a_scope_directory_is_found(leaks: Leaks, tmp_path: Path) -> None:
    """A directory under the test's root is a leak."""
    (tmp_path / "root" / "job").mkdir(parents=True)
    assert leaks.found(OURS) == [f"scopes: {tmp_path / 'root' / 'job'}"]
    (tmp_path / "root" / "job").rmdir()


def test_shared_memory_is_found(leaks: Leaks) -> None:
    """An entry of /dev/shm that no process has mapped is a leak; one in use is not."""
    with closing(SharedMemory(create=True, size=64)) as memory:
        resource_tracker.unregister(f"/{memory.name}", "shared_memory")
        line = f"shared memory: /dev/shm/{memory.name}"
        assert line not in leaks.found()
    found = leaks.found()
    os.unlink(f"/dev/shm/{memory.name}")
    assert line in found


def test_shared_memory_of_a_program_is_found(leaks: Leaks, program: Start) -> None:
    """What a program made, and nobody removed when it had ended, is a leak as well."""
    child = program(
        """
        from multiprocessing import resource_tracker
        from multiprocessing.shared_memory import SharedMemory

        made = SharedMemory(create=True, size=64)
        resource_tracker.unregister(f"/{made.name}", "shared_memory")
        print(made.name)
        """
    )
    place = f"/dev/shm/{child.end().out.strip()}"
    found = leaks.found()
    os.unlink(place)
    assert f"shared memory: {place}" in found


def test_what_others_make_is_no_leak(leaks: Leaks) -> None:
    """Root's tests have a /dev/shm of their own: what a program outside leaves is not seen."""
    if os.geteuid() != 0 or not (nsenter := shutil.which("nsenter")):
        pytest.skip("needs root, and nsenter(1)")
    outside = [nsenter, "--mount", f"--target={os.getppid()}"]
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
        pytest.skip("not allowed to mount anything here")
    place = f"/dev/shm/others-{os.environ['LASTOUT_TEST']}"
    subprocess.run([*outside, "touch", place], check=True)
    try:
        assert not [line for line in leaks.found() if place in line]
    finally:
        subprocess.run([*outside, "rm", place], check=True)


def test_what_comes_and_goes_is_no_leak(
    program: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /dev/shm is the whole machine's, something new is always there, and nothing stays."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr("support.leaks.SHARED_MEMORY", place)
    leaks = Leaks(tmp_path / "root", os.environ["LASTOUT_TEST"], grace=2.0)
    child = program(
        """
        import itertools, os, sys, time
        from say import say

        for number in itertools.count():
            open(f"{sys.argv[1]}/{number + 1}", "w").close()
            if number:
                os.unlink(f"{sys.argv[1]}/{number}")
            if number == 100:
                say("busy")
            time.sleep(0.001)
        """,
        args=[str(place)],
    )
    child.wait_for("busy")
    everything_else = frozenset({"processes", "descriptors"})
    assert leaks.found(everything_else) == []
    child.kill()
    child.end()
    left = leaks.found(everything_else)
    shutil.rmtree(place)
    assert len(left) in (1, 2)  # what it was at when it was killed


def test_a_program_is_told_and_says(program: Start) -> None:
    """A program says lines, is told lines, and how it ended is known."""
    child = program(
        """
        from say import say

        say("ready")
        print("heard", input())
        raise SystemExit(3)
        """
    )
    child.wait_for("ready")
    child.tell("this")
    assert child.end() == (3, "heard this\n", "")
    assert child.lines == ["ready"]


def test_lines_of_many_processes_stay_whole(program: Start) -> None:
    """Forked children share one log, and no line is torn."""
    child = program(
        """
        import os
        from say import say

        for number in range(8):
            if not os.fork():
                for _ in range(50):
                    say("child", number)
                os._exit(0)
        for _ in range(8):
            os.wait()
        """
    )
    assert child.end().status == 0
    assert sorted(child.lines) == sorted(f"child {n}" for n in range(8) for _ in range(50))


def test_a_killed_program_has_the_status_of_its_signal(program: Start) -> None:
    """`kill` ends the program by SIGKILL."""
    child = program("from say import say; say('ready'); input()")
    child.wait_for("ready")
    child.kill()
    assert child.end().status == -signal.SIGKILL


def test_a_program_that_ends_early_fails_its_test_at_once(program: Start) -> None:
    """Waiting for a line that can no longer come shows what the program printed."""
    child = program("raise SystemExit('no luck')")
    with pytest.raises(AssertionError, match=r"never said 'ready'(?s:.*)no luck"):
        child.wait_for("ready")


def test_a_program_that_hangs_shows_where(program: Start) -> None:
    """Where the deadline passes, the stacks of the program are in the error."""
    child = program("from say import say; say('ready'); input()")
    child.wait_for("ready")
    with pytest.raises(AssertionError, match=r"still running(?s:.*)program.py"):
        child.end(seconds=0.01)


def test_an_isolated_program_imports_lastout(program: Start) -> None:
    """Under `python -I -S` the program still finds lastout and its own modules."""
    child = program(
        "import sys, lastout, helper; print(sys.flags.isolated, sys.flags.no_site, helper.x)",
        modules={"helper": "x = 5"},
        isolated=True,
    )
    assert child.end() == (0, "1 1 5\n", "")


def test_programs_run_the_same_python(program: Start) -> None:
    """The interpreter of a program is the tests' own."""
    ended = program("import sys; print(sys.version)").end()
    assert ended.out.strip() == sys.version.replace("\n", " ").strip()


@pytest.mark.parametrize("one_in", [2, 3, 4, 5])
@pytest.mark.parametrize("cases", [1, 2, 6, 44])
def test_the_quick_runs_of_all_pythons_take_all_cases(cases: int, one_in: int) -> None:
    """Each Python takes some cases of a thorough test, and the five of them take each case."""
    taken = [
        {place for place in range(cases) if quick.takes(place, cases, one_in, minor)}
        for minor in range(11, 16)
    ]
    assert all(taken)
    assert set.union(*taken) == set(range(cases))


@pytest.mark.parametrize(
    ("given", "spreads"),
    [
        ({}, True),
        ({"args": ["tests/shared"]}, True),
        ({"numprocesses": 0}, False),
        ({"usepdb": True}, False),
        ({"capture": "no"}, False),
        ({"args": ["tests/test_support.py"]}, False),
        ({"args": ["tests/test_support.py::test_a_thread_is_found"]}, False),
        ({"workerinput": {}}, False),
    ],
    ids=str,
)
def test_tests_are_spread_where_nobody_wants_to_look_into_them(
    given: dict[str, Any], spreads: bool
) -> None:
    """All processors are used, but not for what is debugged; and a worker starts no workers."""
    options = {"usepdb": False, "trace": False, "capture": "fd", "collectonly": False, "dist": "no"}
    option = SimpleNamespace(**{"numprocesses": None, **options, **given})
    about = {"args": ["tests"], "invocation_params": SimpleNamespace(dir=Path.cwd()), **given}
    quick.spread(SimpleNamespace(option=option, **about))  # type: ignore[arg-type]
    assert bool(option.numprocesses) == spreads
    assert option.dist == ("worksteal" if spreads else "no")
