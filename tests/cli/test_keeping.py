"""Why a scope is still there: `lastout show` names who keeps it, what that is, and since when."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout._platform import interpreter_has
from lastout._platform.pids import process_facts
from lastout._scopes.records import inspection
from lastout.backends.local import LocalBackend
from lastout.cli.list_show import scope_parts
from lastout.cli.tables import TextTable, shorten_command
from support import eventually
from support.guardians import guardian
from support.unshared import unshared

from .test_narrow import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program
    from support.shell import Shell

    from .test_list_show import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
OTHER = 65534

MANY = """
    import multiprocessing, sys, time
    import lastout
    from say import say

    context = multiprocessing.get_context("fork")
    with lastout.Scope("s", guardian=True, end_workers=False) as scope:
        manager = context.Manager()
        child = context.Process(target=time.sleep, args=(600,))
        child.start()
        program = scope.popen(["sleep", "601"], member=True)
        say(manager._process.pid, child.pid, program.pid)
        say("ready")
        input()
"""


@contextmanager
def ended(*pids: int) -> Iterator[None]:
    """At the end of the block these processes are killed: members that would keep the scope."""
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not any(map(runs, pids)))


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    facts = process_facts(pid)
    return facts is not None and not facts.ending


def members_of(run: Run) -> list[dict[str, Any]]:
    """The members of the scope "s", as JSON has them."""
    [scope] = json.loads(run("show", "s", "--json").out)["scopes"]
    members: list[dict[str, Any]] = scope["members"]
    return members


def rows_of(shown: str) -> list[tuple[int, str, str, str]]:
    """PID, KEEPS, AGE and PROGRAM of each row of the table of members."""
    lines = shown.splitlines()
    [head] = [number for number, line in enumerate(lines) if line.startswith("MEMBER ")]
    start = lines[head].index("PROGRAM")
    rows = []
    for line in takewhile(bool, lines[head + 1 :]):
        words = line[:start].split()
        rows.append((int(words[1].replace("?", "0")), words[4], words[5], line[start:]))
    return rows


def test_who_keeps_it_and_since_when(run: Run, program: Callable[..., Program]) -> None:
    """Each member is named by pid and command line; it says who keeps the scope, and who not."""
    child = program(MANY, args=["--epochs", "3"])
    child.wait_for("ready")
    manager, worker, sleep = map(int, child.lines[0].split())
    with ended(worker, sleep):
        shown = run("show", "s").out
        assert "kept by 3, until the last of them has left or ended\nMEMBER " in shown
        rows = rows_of(shown)
        python = f"{Path(sys.executable).name} {child.directory / 'program.py'} --epochs 3"
        python = shorten_command(python.split())
        assert {(pid, keeps): text for pid, keeps, _, text in rows} == {
            (child.pid, "yes"): python,
            (manager, "no"): f"manager: {python}",
            (worker, "yes"): python,
            (sleep, "yes"): "sleep 601",
        }
        assert all(re.fullmatch("[0-9]+s", age) for _, _, age, _ in rows)
        watcher = guardian(Path(os.environ["LASTOUT_ROOT"], "s")).pid
        assert f"the guardian {watcher} keeps nothing" in shown
        [scope] = json.loads(run("show", "s", "--json").out)["scopes"]
        assert scope["guardian"] == watcher
        assert {one["pid"]: one["keeps"] for one in scope["members"]} == {
            child.pid: True,
            manager: False,
            worker: True,
            sleep: True,
        }
        assert all([one["pid"]] == [p["pid"] for p in one["processes"]] for one in scope["members"])
    child.tell()
    child.end()


def test_one_alone(run: Run) -> None:
    """Where one member is alive it is that one, since when it has been in."""
    with lastout.Scope("s"):
        shown = run("show", "s").out
        assert "kept by 1, until it has left or ended\n" in shown
        [(pid, keeps, _, text)] = rows_of(shown)
        assert (pid, keeps) == (os.getpid(), "yes")
        assert text == shorten_command(
            [word.decode() for word in lastout._platform.pids.command_line(pid)]
        )
        assert "keeps nothing" not in shown  # as it would say of a guardian
        [member] = members_of(run)
        assert member["processes"] == [{"pid": pid, "argv": _argv(pid)}]
        assert member["program"] is None  # as before: of programs that know nothing of it


def _argv(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def test_nobody_keeps_it(run: Run, program: Callable[..., Program]) -> None:
    """Where all are dead it is still there because nobody has come to clean; it says who does."""
    child = program("import lastout; lastout.Scope('s').directory(); import os; os.kill(0, 9)")
    child.end()
    shown = run("show", "s").out
    assert "kept by nobody: the next to join it, or `lastout reap`, cleans up" in shown
    assert [row[:2] for row in rows_of(shown)] == [(child.pid, "no")]
    [member] = members_of(run)
    assert (member["keeps"], member["processes"]) == (False, [])
    assert run("reap").status == 0


def test_what_a_program_has_left(run: Run) -> None:
    """A program that is a member has ended, and what it started keeps the scope: that is named.

    Not the guardian, which has the same lock's file open, and waits for it.
    """
    with lastout.Scope("s", guardian=True) as scope:
        line = "sleep 602 & echo $!; sleep 603 & echo $!"
        shell = scope.popen(["sh", "-c", line], member=True, stdout=subprocess.PIPE)
        assert shell.stdout is not None
        first, second = (int(shell.stdout.readline()) for _ in range(2))
        with ended(first, second), shell.stdout:
            assert shell.wait(30) == 0
            assert eventually(
                lambda: [_argv(one)[:1] for one in (first, second)] == [["sleep"]] * 2
            )
            came = f"(came from {shell.pid}, which has ended)"
            rows = rows_of(run("show", "s").out)
            assert {(pid, keeps, text) for pid, keeps, _, text in rows if pid != os.getpid()} == {
                (first, "yes", f"sleep 602 {came}"),
                (second, "yes", f"sleep 603 {came}"),
            }
            [member] = [one for one in members_of(run) if one["pid"] == shell.pid]
            assert sorted(one["argv"] for one in member["processes"]) == [
                ["sleep", "602"],
                ["sleep", "603"],
            ]
            assert (member["keeps"], member["program"]) == (True, f"sh -c {line}")


def test_a_fork_that_python_did_not_see(run: Run, program: Callable[..., Program]) -> None:
    """A member was killed, and a child that C code forked has its lock: that child is named."""
    child = program(
        """
        import ctypes, os, signal
        import lastout
        from say import say
        scope = lastout.Scope("s")
        pid = ctypes.CDLL(None).fork()
        if not pid:
            signal.pause()
        say(pid)
        say("ready")
        input()
        """
    )
    child.wait_for("ready")
    forked = int(child.lines[0])
    with ended(forked):
        assert [pid for pid, *_ in rows_of(run("show", "s").out)] == [child.pid]
        child.kill()
        child.end()
        [(pid, keeps, _, text)] = rows_of(run("show", "s").out)
        assert (pid, keeps) == (forked, "yes")
        assert text.endswith(f"(came from {child.pid}, which has ended)")
    assert eventually(lambda: run("reap").status == 0 and run("show", "s").status == 2)


@pytest.mark.parametrize(
    "word", ["a\x1b[2J\nb\r\x07", "x" * 100_000, "\udcff\u2028"], ids=["control", "long", "bytes"]
)
def test_any_command_line(word: str, run: Run) -> None:
    """In the table a command line is one line that moves no cursor; in JSON it is whole."""
    with lastout.Scope("s") as scope:
        argv = [sys.executable, "-c", "import time; time.sleep(600)", word]
        process = scope.popen(argv, member=True)
        with ended(process.pid):
            [text] = [row[3] for row in rows_of(run("show", "s").out) if row[0] == process.pid]
            [member] = [one for one in members_of(run) if one["pid"] == process.pid]
        assert process.wait(30)
        assert text.startswith(f"{Path(sys.executable).name} -c import time;")
        assert len(text) < 100
        assert text.isprintable()
        assert member["processes"] == [{"pid": process.pid, "argv": argv}]


def test_a_short_line() -> None:
    """Of a program the directory is left out, of a long line the middle, of a title nothing."""
    assert shorten_command(["/usr/bin/python3", "-m", "http.server"]) == "python3 -m http.server"
    assert shorten_command(["nginx: worker /srv/www"]) == "nginx: worker /srv/www"
    assert shorten_command(["/srv/a b/run"]) == "/srv/a b/run"
    assert shorten_command(["gunicorn: master", "", "", ""]) == "gunicorn: master"
    assert shorten_command(["", ""]) == shorten_command([]) == ""
    long = shorten_command(["java", "-cp", "x" * 500, "org.example.Main", "--port", "8080"])
    assert len(long) == 73
    assert long.startswith("java -cp xxx")
    assert long.endswith("Main --port 8080")


def test_one_that_ends_meanwhile(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is killed after the scope was read is shown as it was, without a command line."""
    child = program(
        """
        import lastout
        from say import say
        scope = lastout.Scope("s")
        say("ready")
        input()
        """
    )
    child.wait_for("ready")
    ask = inspection.command_of

    def after_its_end(who: Any) -> object:
        child.kill()
        child.end()
        return ask(who)

    monkeypatch.setattr(inspection, "command_of", after_its_end)
    view = inspection.inspect(LocalBackend(), "s", closely=True)
    assert view is not None
    [table] = [part for part in scope_parts(view) if isinstance(part, TextTable)]
    assert table.rows[0][1] == str(child.pid)
    assert table.rows[0][-1] == "? (cannot be seen, or has just ended)"
    assert lastout.reap().ok


def test_in_another_container(run: Run, tmp_path: Path) -> None:
    """A pid of another container is not taken for one of this: outside it is found by its lock."""
    member = """
    import lastout, os, subprocess, sys
    scope = lastout.Scope("s")
    command = [sys.executable, "-m", "lastout", "show", "s", "--json"]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")
    print("ready", flush=True)
    input()
    """
    inside = unshared("--pid", "--fork", "--kill-child", "--mount-proc")
    with lastout.Scope("s"):
        command = [*inside, sys.executable, "-c", dedent(member)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as child:
            assert child.stdout is not None
            lines = list(iter(child.stdout.readline, "ready\n"))
            [scope] = json.loads("".join(lines))["scopes"]
            seen = {one["pid"]: one["processes"] for one in scope["members"]}
            assert seen[os.getpid()] == []  # from there this one cannot be seen
            [there] = seen.keys() - {os.getpid()}
            [row] = [row for row in rows_of(run("show", "s").out) if row[0] != os.getpid()]
            assert row[0] != there
            assert _argv(row[0]) == [sys.executable, "-c", dedent(member)]
            assert row[1] == "yes"
            assert row[3].endswith(f"({there} in another container)")
            child.communicate("\n", timeout=30)


def test_what_a_container_does_not_see(run: Run) -> None:
    """Within a container the pid of a member outside means nothing: there is none in its place."""
    inside = unshared("--pid", "--fork", "--kill-child", "--mount-proc")
    with lastout.Scope("s"):
        command = [*inside, sys.executable, "-m", "lastout", "show", "s"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        [(pid, keeps, _, text)] = rows_of(shown.stdout)
        assert (pid, keeps, text) == (0, "yes", f"? ({os.getpid()} in another container)")
        del run


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide processes")
@pytest.mark.parametrize(
    ("how", "note"), [(1, "cannot be seen"), (2, "cannot be seen, or has just ended")]
)
def test_one_that_is_hidden(how: int, note: str) -> None:
    """Where /proc hides a process (hidepid) its member is shown as alive, with its pid."""
    script = f"""
    import ctypes, os, sys
    import lastout
    from lastout.cli.main import main

    root = sys.argv[1] + "/root"
    with lastout.Scope("s"):
        main(["show", "s"])  # all is loaded: the other user may not be able to
    libc = ctypes.CDLL(None)
    sys.stdout.flush()
    os.setgroups([])
    os.setresgid({OTHER}, {OTHER}, {OTHER})
    os.setresuid({OTHER}, {OTHER}, {OTHER})
    os.chdir("/")
    with lastout.Scope("s", root=root) as scope:
        libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: nobody's to look at but root's
        print("member", os.getpid(), flush=True)
        with scope.without():
            looks = os.fork()
        if not looks:
            main(["show", "s", "--root", root])
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(looks, 0)
    """
    line = f'mount -t proc -o hidepid={how} proc /proc && exec "$0" -c "$1" "$2"'
    with tempfile.TemporaryDirectory(prefix="lastout-") as place:
        Path(place).chmod(0o777)
        command = [*unshared("--mount"), "sh", "-c", line, sys.executable, dedent(script), place]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    first, shown = ran.stdout.partition("member ")[2].split("\n", 1)
    [(pid, keeps, _, text)] = rows_of(shown)
    assert (pid, keeps, text) == (int(first), "yes", f"? ({note})")


def test_a_journal_that_cannot_be_read(run: Run) -> None:
    """A member of a newer lastout keeps the scope; who that is is known by its lock."""
    from lastout._scopes.records import journal

    with lastout.Scope("s") as scope:
        journal_lock = LocalBackend().publish(
            "s", "0123456789abcdef", journal.header("0123456789abcdef")
        )
        try:
            newer = Path(scope.path) / "0123456789abcdef.journal"
            newer.write_bytes(journal.seal('["lastout",99,"0123456789abcdef"]'))
            rows = rows_of(run("show", "s").out)
            assert [row[:2] for row in rows] == [(os.getpid(), "yes")] * 2
        finally:
            journal_lock.close()
        rows = rows_of(run("show", "s").out)
        assert sorted(row[:2] for row in rows) == [(0, "yes"), (os.getpid(), "yes")]
        newer.unlink()


@pytest.mark.parametrize("width", [20, 40, 54, 60, 100])
def test_a_narrow_terminal(
    width: int, shell: Shell, run: Run, program: Callable[..., Program]
) -> None:
    """However narrow it is, it says who, what, that it keeps the scope, and since when."""
    with lastout.Scope("s") as scope:
        process = scope.popen(["sleep", "604"], member=True)
        with ended(process.pid):
            lines = lines_of(shell.run(f"COLUMNS={width} lastout show s"), width)
        assert process.wait(30)
        words = [line.split() for line in lines]
        if width < 54:
            block = words[words.index(["PID", str(process.pid)]) :]
            assert next(line[1:] for line in block if line[:1] == ["KEEPS"]) == ["yes"]
            assert ["AGE"] in [line[:1] for line in block]
        else:
            [row] = [line for line in words if str(process.pid) in line]
            head = next(line for line in words if "KEEPS" in line and "PID" in line)
            assert row[head.index("KEEPS")] == "yes"
            assert re.fullmatch("[0-9]+s", row[head.index("AGE")])
        assert "sleep604" in "".join("".join(lines).split())
    del run, program


def test_its_picture(run: Run, tmp_path: Path) -> None:
    """In the picture of a scope in use each living member has its command line beside its pid."""
    if not interpreter_has("matplotlib"):
        pytest.skip("there is no matplotlib")
    with lastout.Scope("s"):
        assert run("show", "s", "--timeline", tmp_path / "s.svg").status == 0
    shown = (tmp_path / "s.svg").read_text()
    assert f"pid {os.getpid()} {Path(_argv(os.getpid())[0]).name}" in shown
