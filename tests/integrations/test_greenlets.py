"""gevent and eventlet: after `monkey_patch` lastout works as it does without them."""

from __future__ import annotations

import os
import signal
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program

    Start = Callable[[str], Program]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="both are for POSIX systems")

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
IMPORTS = "import os, signal, subprocess, sys, threading, time\nimport lastout; lastout.Scope"


@pytest.fixture(
    params=[(library, when) for library in PATCHES for when in ("before", "after")],
    ids=" ".join,
)
def start(request: pytest.FixtureRequest, program: Callable[..., Program]) -> Start:
    """Start a program that is patched, before or after lastout is imported."""
    library, when = request.param
    if find_spec(library) is None:  # not imported here: eventlet warns of every fork from then on
        pytest.skip(f"{library} is not installed")
    lines = [PATCHES[library], IMPORTS]
    head = "\n".join(lines if when == "before" else reversed(lines))
    # eventlet warns that it is deprecated.
    quiet = "import warnings; warnings.simplefilter('ignore')"
    return lambda text: program(f"{quiet}\n{head}\nfrom say import say\n{text}")


BUSY = """
say("ready")
while True:
    pass
"""


@pytest.mark.parametrize(
    "asked_and_busy",
    [
        pytest.param("lastout.handle_signals()" + BUSY, id="a busy main greenlet"),
        pytest.param(
            "lastout.handle_signals()\nsay('ready')\ntime.sleep(60)",
            id="a main greenlet that waits",
        ),
        pytest.param(
            "one = threading.Thread(target=lastout.handle_signals); one.start(); one.join()" + BUSY,
            id="asked for by a greenlet of the main thread",
        ),
    ],
)
def test_a_signal_ends_the_main_greenlet(start: Start, asked_and_busy: str) -> None:
    """SIGTERM runs the handlers whether the main greenlet computes or waits, whoever asked."""
    child = start("lastout.register(say, 'handler')\n" + asked_and_busy)
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end().status == -signal.SIGTERM
    assert child.lines == ["ready", "handler"]


def test_programs_of_a_program_that_handles_signals(start: Start) -> None:
    """Between its fork in Python and its exec a child says nothing, whatever closes its pipe."""
    child = start(
        "lastout.handle_signals()\n"
        "for _ in range(40): subprocess.run(['true'], check=True, preexec_fn=os.getpid)"
    )
    end = child.end()
    assert end.status == 0
    assert "watcher" not in end.err  # eventlet breaks filelock's hook, if lastout is imported first


def test_a_time_limit_of_a_handler(start: Start) -> None:
    """A handler that blocks is abandoned after its time limit, and the others run."""
    child = start(
        "lastout.register(say, 'other')\nlastout.handler(timeout=0.2)(lambda: time.sleep(60))"
    )
    end = child.end()
    assert end.status == 0
    assert "HandlerTimeout" in end.err
    assert child.lines == ["other"]


def test_a_guardian_cleans_after_a_kill(start: Start) -> None:
    """`Scope(guardian=True)` begins at once, and cleans when the program is killed."""
    child = start(
        "scope = lastout.Scope('s', guardian=True)\nscope.directory('made')\n"
        "scope.popen(['sleep', '600'])\nsay('ready')\ntime.sleep(600)"
    )
    child.wait_for("ready")
    child.signal(signal.SIGKILL)
    child.end()
    assert eventually(lambda: not (child.directory / "made").exists())
    assert eventually(lambda: not os.listdir(os.environ["LASTOUT_ROOT"]))


def test_a_guarded_program_sees_its_children_end(start: Start) -> None:
    """What the program starts by itself is seen to end, though a guardian was started before."""
    child = start(
        "with lastout.Scope(guardian=True) as scope:\n"
        "    say(subprocess.run(['sh', '-c', 'exit 3']).returncode)\n"
        "    say(scope.popen(['sh', '-c', 'exit 4']).wait())\n"
    )
    assert child.end().status == 0
    assert child.lines == ["3", "4"]


def test_what_a_scope_cleans(start: Start, tmp_path: Path) -> None:
    """Leaving ends processes, runs commands, calls functions and removes directories."""
    child = start(
        f"""
with lastout.Scope("s") as scope:
    made = scope.directory("made")
    process = scope.popen(["sleep", "600"])
    scope.callback(say, "callback")
    scope.command(["touch", {str(tmp_path / "touched")!r}])
say(process.wait(), os.path.exists("made"))
"""
    )
    assert child.end().status == 0
    assert sorted(child.lines) == ["-15 False", "callback"]
    assert (tmp_path / "touched").exists()


def test_greenlets_go_on_while_one_waits_for_a_process(start: Start) -> None:
    """A process of the scope is waited for as any other: the other greenlets run meanwhile."""
    child = start(
        """
with lastout.Scope("s") as scope:
    process = scope.popen(["cat"], stdin=subprocess.PIPE)
    other = threading.Thread(target=lambda: (say("other"), process.stdin.close()))
    other.start()
    say(process.wait())
"""
    )
    assert child.end().status == 0
    assert child.lines == ["other", "0"]


@pytest.mark.leaks("scopes", reason="what could not be cleaned stays recorded")
def test_a_failure_on_the_thread_of_a_signal_is_told(start: Start) -> None:
    """A command that fails while the process dies of a signal is told with its status."""
    child = start(
        "scope = lastout.Scope('s'); scope.command(['sh', '-c', 'exit 3'])\n"
        "lastout.handle_signals()" + BUSY
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end()
    assert end.status == -signal.SIGTERM
    assert "it ended with status 3" in end.err


@pytest.mark.leaks("scopes", reason="what could not be cleaned stays recorded")
def test_failures_while_the_loop_waits_for_children(start: Start) -> None:
    """Each command that fails is told, though gevent's loop waits for just any child."""
    child = start(
        """
subprocess.run(["true"])  # from here on the loop does
scope = lastout.Scope("s")
for _ in range(20):
    scope.command(["sh", "-c", "exit 3"])
lastout.handle_signals()
say("ready")
time.sleep(60)
"""
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end()
    assert end.status == -signal.SIGTERM
    assert end.err.count("it ended with status 3") == 20


def test_a_process_that_a_handler_starts(start: Start) -> None:
    """A handler that runs because of a signal may start a process of the scope, and wait for it."""
    child = start(
        """
scope = lastout.Scope("s")
lastout.register(lambda: say(scope.popen(["true"]).wait(), scope.popen(["cat"]).poll()))
lastout.handle_signals()
say("ready")
time.sleep(60)
"""
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end().status == -signal.SIGTERM
    assert child.lines == ["ready", "0 None"]


def test_a_signal_while_the_main_greenlet_makes_and_releases(start: Start) -> None:
    """The locks that the main greenlet takes all the time do not keep the signal's thread out."""
    child = start(
        """
scope = lastout.Scope("s")
lastout.handle_signals()
say("ready")
while True:
    try:
        scope.artifact_of(scope.directory()).release()
    except lastout.errors.LastoutError:
        pass  # it is being left
"""
    )
    child.wait_for("ready")
    time.sleep(0.05)  # somewhere in the middle; each moment is right
    child.signal(signal.SIGTERM)
    assert child.end().status == -signal.SIGTERM
    assert eventually(lambda: not os.listdir(os.environ["LASTOUT_ROOT"]))


def test_joining_while_another_greenlet_leaves(start: Start) -> None:
    """Whoever joins a scope that another greenlet leaves right now is told so, at once."""
    child = start(
        """
scope = lastout.Scope("s")
def cleanup():
    say("leaving")
    time.sleep(1)  # the other greenlet runs
    say("left")
scope.callback(cleanup)
def join():
    try:
        lastout.Scope("s")
    except lastout.errors.ScopeBusy as error:
        say("another greenlet" in str(error))
leaver, joiner = (threading.Thread(target=act) for act in (scope.leave, join))
leaver.start(); joiner.start(); leaver.join(); joiner.join()
say(len(lastout.Scope("s").leave()))
"""
    )
    assert child.end().status == 0
    assert child.lines == ["leaving", "True", "left", "0"]


def test_a_forked_child_is_a_member(start: Start) -> None:
    """A child that is forked runs its own handlers and leaves the scope."""
    child = start(
        """
scope = lastout.Scope("s")
if not os.fork():
    lastout.register(say, "child")
    scope.directory("childs", lifetime="member")
    sys.exit(7)
_, status = os.wait() if "eventlet" in sys.modules else os.waitpid(-1, 0)
say(os.waitstatus_to_exitcode(status), os.path.exists("childs"))
lastout.register(say, "parent")
"""
    )
    assert child.end().status == 0
    assert child.lines == ["child", "7 False", "parent"]
    assert not os.listdir(os.environ["LASTOUT_ROOT"])


def test_programs_leave_no_dead_members(start: Start) -> None:
    """Gevent starts programs by a fork in Python; of 40 only a few are left as dead members."""
    child = start(
        """
scope = lastout.Scope("s")
for _ in range(40):
    subprocess.run(["true"], check=True)
say(sum(name.endswith(".journal") for name in os.listdir(scope.path)))
"""
    )
    assert child.end().status == 0
    assert int(child.lines[0]) <= 10
