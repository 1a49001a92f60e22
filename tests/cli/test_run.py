"""`lastout run`: the program's own status, streams and signals, and nothing of it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout._platform import pids
from support import eventually
from support.scripts import UNWINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Ran

    Run = Callable[..., Ran]
    Start = Callable[..., subprocess.Popen[str]]


def runs(pid: int) -> bool:
    """Whether that process is running."""
    facts = pids.process_facts(pid)
    return facts is not None and not facts.ending


def scopes() -> list[str]:
    """What lies in the root."""
    root = Path(os.environ["LASTOUT_ROOT"])
    return os.listdir(root) if root.exists() else []


def python(code: str) -> list[str]:
    """The command line of a Python program."""
    return [sys.executable, "-c", code]


# A daemon as they are made by hand: two forks and a session; its pid on standard output.
DAEMON = """
import os, signal, sys
ready, said = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {before}
        os.write(1, b"%d\\n" % os.getpid())
        os.closerange(0, 100 if {closes} else 2)
        os.close(said) if not {closes} else None
        {then}
    os._exit(0)
os.close(said)
os.read(ready, 1)  # until nobody has the other end: the daemon is what it is to be
"""


def daemon(before: str = "pass", closes: bool = False, then: str = "signal.pause()") -> list[str]:
    """The command line of a program that leaves a daemon, and ends."""
    return python(DAEMON.format(before=before, closes=closes, then=then))


STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.mark.thorough(one_in=3)
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -INT $$"], 130),
        (["--", "true"], 0),
        (["no-such-program"], 127),
        (["./no-such-program"], 127),
        (["/dev/null/program"], 127),
        ([""], 127),
        (["/etc/passwd"], 126),
        (["/etc"], 126),
    ],
)
def test_the_status_is_that_of_a_shell(command: list[str], status: int, run: Run) -> None:
    """The exit status is what a shell would show; where there is no program, it says why."""
    shown = run("run", "--", *command) if command[0] != "--" else run("run", *command)
    assert shown.status == status, shown.err
    assert shown.out == ""
    assert bool(shown.err) == (status in (126, 127))
    assert scopes() == []


def test_scripts_without_a_first_line(run: Run, tmp_path: Path) -> None:
    """A script that names no interpreter is run by the shell; one that names a wrong one is not."""
    script = tmp_path / "script"
    script.write_text("echo this is $1; exit 5\n")
    script.chmod(0o700)
    assert run("run", script, "it")[:2] == (5, "this is it\n")
    script.write_text("#!/no/such/interpreter\n")
    shown = run("run", script)
    assert shown.status == 127
    assert "first line" in shown.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "no COMMAND"),
        (["--"], "no COMMAND"),
        (["--name", "a/b", "--", "true"], "slash"),
        (["--timeout", "soon", "--", "true"], "'soon' is no time"),
        (["--timeout", "-1", "--", "true"], "no time"),
        (["--grace", "inf", "--", "true"], "no time"),
        (["--frobnicate", "--", "true"], "usage"),
    ],
)
def test_wrong_use(arguments: list[str], text: str, run: Run) -> None:
    """Wrong use is status 2, says why, and runs nothing."""
    shown = run("run", *arguments)
    assert (shown.status, shown.out) == (2, "")
    assert text in shown.err
    assert scopes() == []


def test_a_root_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    """Where there can be no scope the program does not run, and the status is 125."""
    refused = tmp_path / "refused"
    refused.mkdir()
    refused.chmod(0o777)
    shown = run("run", "--root", refused, "--", "echo", "ran")
    assert (shown.status, shown.out) == (125, "")
    assert "others can write there" in shown.err


def test_input_and_output_are_the_programs_own(run: Run) -> None:
    """Standard input reaches the program, and its output is all that there is."""
    shown = run("run", "--", "sh", "-c", "cat; echo aside >&2", given="line\n" * 10_000)
    assert shown == (0, "line\n" * 10_000, "aside\n")


def test_the_program_finds_its_scope(run: Run) -> None:
    """The program is in a scope, whose things go when it ends."""
    code = "import lastout; print(lastout.current_scope().directory())"
    shown = run("run", "--", *python(code))
    assert shown.status == 0, shown.err
    assert not Path(shown.out.strip()).exists()
    assert scopes() == []


def test_it_is_a_member_without_knowing(start: Start) -> None:
    """A program that knows nothing of lastout keeps the scope alive, and is shown by its pid."""
    process = start("run", "--name", "s", "--", "sh", "-c", "echo $$; read line")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    with lastout.Scope("s") as scope:
        # The pid is written down only after the start.
        assert eventually(lambda: [one.data.get("pid") for one in scope.artifacts()] == [pid])
        assert sum(member.alive for member in scope.members()) == 3
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert scopes() == []


def test_others_of_the_scope_keep_what_is_theirs(run: Run) -> None:
    """Where somebody else is in the scope, a server of the program's is not ended with it."""
    server = "lastout.current_scope().popen(['sleep', '600'], stdout=-3, stderr=-3)"  # DEVNULL
    code = f"import lastout; print({server}.pid)"
    with lastout.Scope("s"):
        shown = run("run", "--name", "s", "--", *python(code))
        assert shown.status == 0, shown.err
        pid = int(shown.out)
        assert runs(pid)
    assert not runs(pid)


FEEL = """
import signal
signals = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1,
           signal.SIGUSR2, signal.SIGALRM, signal.SIGWINCH, signal.SIGRTMIN + 3}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while True:
    found = signal.sigwait(signals)
    print(int(found), flush=True)
    if found == signal.SIGTERM:
        raise SystemExit(7)
"""


@pytest.mark.parametrize("whom", ["lastout", "its group"])
def test_signals_are_passed_on_once(whom: str, start: Start) -> None:
    """Each signal reaches the program once, also where the whole group of lastout gets it."""
    process = start("run", "--", *python(FEEL))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    send = os.kill if whom == "lastout" else os.killpg
    wanted = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT]
    wanted += [signal.SIGALRM, signal.SIGWINCH, signal.SIGRTMIN + 3, signal.SIGTERM]
    felt = []
    for signum in wanted:
        send(process.pid, signum)
        felt.append(int(process.stdout.readline()))
    assert felt == wanted
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 7


def test_what_is_ignored_stays_ignored(start: Start) -> None:
    """Under nohup neither lastout nor the program feels the end of a terminal."""
    line = "trap '' HUP; exec \"$@\""
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "lastout", "run", "--"]
    program = "echo ready; read line; echo $line"
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with subprocess.Popen([*command, "sh", "-c", program], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        assert process.communicate("still here\n", timeout=60)[0] == "still here\n"
    assert process.returncode == 0


def test_a_starter_that_ignores_its_children(run: Run) -> None:
    """Where SIGCHLD was ignored by whoever started lastout, the status is right all the same."""
    # Python starts with what it inherits; only the shell's `trap` cannot ignore this one.
    code = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, '-m', 'lastout', *sys.argv[1:]])"
    )
    inner = [*python(code), "run", "--", "sh", "-c", "sleep 0; exit 4"]
    assert run("run", "--", *inner).status == 4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"before": STUBBORN},
        {"closes": True},
        {"closes": True, "then": "os.execve('/bin/sleep', ['sleep', '600'], {})"},
    ],
    ids=["plain", "stubborn", "without descriptors", "without environment"],
)
def test_daemons_end(options: dict[str, Any], run: Run) -> None:
    """Whatever the program left running is ended before lastout returns."""
    shown = run("run", "--grace", "0.3", "--", *daemon(**options))
    assert shown.status == 0, shown.err
    assert not runs(int(shown.out))
    assert shown.err == ""


def test_orphans_have_their_grace(run: Run, tmp_path: Path) -> None:
    """An orphan that cleans up on SIGTERM has the time for it."""
    before = "signal.signal(signal.SIGTERM, lambda *_: os._exit(os.system('echo cleaned >done')))"
    shown = run("run", "--", *daemon(before), cwd=tmp_path)
    assert shown.status == 0, shown.err
    assert (tmp_path / "done").read_text() == "cleaned\n"


def test_orphans_that_unwind_already_finish(run: Run, tmp_path: Path) -> None:
    """What a signal ends already is not told again: its exit handlers have the grace."""
    (tmp_path / "unwinds.py").write_text(UNWINDS)
    command = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "unwinds.py"], stdout=subprocess.PIPE)
        [child.stdout.readline() for _ in ("ready", "unwinds")]
        sys.exit(3)
    """
    ran = run("run", "--grace", 30, *python(textwrap.dedent(command)), cwd=tmp_path)
    assert (ran.status, ran.err) == (3, "")
    assert (tmp_path / "done").read_text() == "True"


def test_a_second_signal_spares_the_grace(start: Start) -> None:
    """While orphans have their grace, a signal to lastout ends the waiting."""
    code = "import os; print(os.getpid(), flush=True)" + daemon(STUBBORN)[-1]
    process = start("run", "--grace", "600", "--", *python(code))
    assert process.stdout is not None
    program, pid = int(process.stdout.readline()), int(process.stdout.readline())
    # Before that, a signal is the program's.
    assert eventually(lambda: not Path(f"/proc/{program}").exists())
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert not runs(pid)
    assert process.returncode == 0


def test_what_is_recorded_goes_in_its_order(run: Run, tmp_path: Path) -> None:
    """A server of the scope's ends in its turn, before the directory that it needs."""
    wait = "echo ready; while :; do sleep 0.05; done"
    script = f"trap 'test -d place && echo in time >>log; exit' TERM; {wait}"
    code = f"""
import lastout, subprocess
scope = lastout.current_scope()
place = scope.directory("place")
server = scope.popen(["sh", "-c", {script!r}], stdout=subprocess.PIPE)
client = scope.popen(["sh", "-c", {script.replace("in time", "first")!r}], stdout=subprocess.PIPE)
print(server.stdout.readline(), client.stdout.readline())
import os; os._exit(3)
"""
    shown = run("run", "--", *python(code), cwd=tmp_path)
    assert shown.status == 3
    assert (tmp_path / "log").read_text() == "first\nin time\n"
    assert not (tmp_path / "place").exists()


def test_the_timeout(run: Run) -> None:
    """When its time is over the program is ended with all that it started, status 124."""
    began = monotonic()
    shown = run(
        "run", "--timeout", "0.3", "--", "sh", "-c", "setsid sleep 600 & echo $!; sleep 600"
    )
    assert shown.status == 124
    assert "not done in 0.3 s" in shown.err
    assert monotonic() - began < 5
    assert not runs(int(shown.out))
    assert run("run", "--timeout", "1h", "--", "true").status == 0


def test_a_killed_run_is_cleaned_by_one_reap(start: Start, run: Run) -> None:
    """SIGKILL of lastout alone: the next reap ends the program and its daemons, and cleans."""
    code = """
import lastout, multiprocessing, os, subprocess, sys, time
scope = lastout.current_scope()
child = subprocess.Popen(["sleep", "601"], start_new_session=True)
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(602,))
worker.start()
print(scope.directory(), scope.popen(["sleep", "603"]).pid, child.pid, worker.pid, os.getpid(),
      flush=True)
time.sleep(604)
"""
    process = start("run", "--", *python(code))
    assert process.stdout is not None
    place, *numbers = process.stdout.readline().split()
    process.kill()
    process.wait()
    assert all(runs(int(number)) for number in numbers)
    assert Path(place).is_dir()
    shown = run("reap")
    assert shown.status == 0, shown.err
    assert [number for number in numbers if runs(int(number))] == []
    assert not Path(place).exists()
    assert scopes() == []


def test_one_in_another(run: Run) -> None:
    """`lastout run` runs in `lastout run`; each cleans its own scope, and the status comes out."""
    inner = [
        sys.executable,
        "-m",
        "lastout",
        "run",
        "--",
        "sh",
        "-c",
        "echo $LASTOUT_SCOPE; exit 6",
    ]
    shown = run("run", "--", *inner)
    assert shown.status == 6
    assert shown.err == ""
    assert scopes() == []


def test_what_cannot_be_cleaned_is_said(run: Run, tmp_path: Path) -> None:
    """The status stays the program's; what stays recorded is told, and who tries again."""
    code = "import lastout; lastout.current_scope().command(['sh', '-c', 'test -e tidy'])"
    shown = run("run", "--name", "s", "--", *python(code), cwd=tmp_path)
    assert shown.status == 0
    assert "not cleaned: command" in shown.err
    assert "`lastout reap s` tries again" in shown.err
    (tmp_path / "tidy").touch()
    assert run("reap", "s").status == 0


def test_a_guardian_cleans_a_killed_run(start: Start) -> None:
    """With `--guardian` nobody has to reap: the program ends and all is clean by itself."""
    code = "import lastout; print(lastout.current_scope().directory(), flush=True); input()"
    process = start("run", "--guardian", "--", *python(code))
    assert process.stdout is not None
    place = process.stdout.readline().strip()
    assert Path(place).is_dir()
    process.kill()
    assert eventually(lambda: not Path(place).exists() and not scopes())


def test_a_guardian_is_no_orphan(run: Run) -> None:
    """The guardian of another scope, which the program left in use, is not ended with it."""
    code = """
import lastout, os
from pathlib import Path
scope = lastout.Scope("other", guardian=True)
os._exit(0)
"""
    with lastout.Scope("other") as scope:
        assert run("run", "--", *python(code)) == (0, "", "")
        lock = Path(scope.path) / "guardian.lock"
        held = subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode
        assert held == 1, "the guardian still holds its lock"
