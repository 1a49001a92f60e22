"""Limit: a process whose end takes too long is killed, whatever it does meanwhile."""

from __future__ import annotations

import signal
from time import monotonic
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout._platform import pids

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

MODULES = {
    "stuck": """
    import ctypes, os, struct, time

    def stuck(seconds):
        "In C code that keeps the interpreter lock, and that no signal interrupts."
        end = time.time() + seconds
        until = struct.pack("qq", int(end), int(end % 1 * 1e9))
        lock = ctypes.create_string_buffer(256)
        call = ctypes.PyDLL(None).pthread_mutex_timedlock
        call(lock, until)
        call(lock, until)

    def keepers(pid):
        "The processes that keep a limit for this one, or for its parents."
        found = []
        for each in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{each}/cmdline", errors="replace").read().split("\\0")
            except OSError:
                continue
            if "lastout-keeper" in words and str(pid) in words:
                found.append(int(each))
        return found
    """
}
HEAD = """
    import atexit, os, signal, sys, threading, time
    import lastout
    from say import say
    from stuck import keepers, stuck
"""


def start(program: Start, text: str) -> Program:
    """A program that has these at hand."""
    return program(HEAD + text, modules=MODULES)


HANGING = {
    "C code keeps the interpreter lock": "signal.setitimer(signal.ITIMER_REAL, 0.2); stuck(60)",
    "a handler hangs": "lastout.register(time.sleep, 60); kill(); time.sleep(60)",
    "a handler in C code": "lastout.register(stuck, 60); kill(); time.sleep(60)",
    "atexit hangs": "atexit.register(time.sleep, 60)",
    "atexit in C code": "atexit.register(stuck, 60)",
    "a thread never ends": "threading.Thread(target=time.sleep, args=(60,)).start()",
    "sys.exit, a handler hangs": "lastout.register(time.sleep, 60); sys.exit()",
}


@pytest.mark.parametrize("what", HANGING)
def test_it_is_killed(program: Start, what: str) -> None:
    """Whatever keeps a process from its end, SIGKILL comes when its time is over."""
    child = start(
        program,
        f"""
    def kill():
        os.kill(os.getpid(), signal.SIGTERM)

    lastout.handle_signals(signal.SIGTERM, signal.SIGALRM, limit=0.5)
    {HANGING[what]}
    """,
    )
    began = monotonic()
    assert child.end().status == -signal.SIGKILL
    assert monotonic() - began >= 0.5


def test_a_hanging_finally(program: Start) -> None:
    """With `raise_in_main` a `finally` block has no more time than a handler."""
    child = start(
        program,
        """
    lastout.handle_signals(raise_in_main=True, limit=0.5)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        say("finally")
        time.sleep(60)
    """,
    )
    assert child.end().status == -signal.SIGKILL
    assert child.lines == ["finally"]


@pytest.mark.parametrize(("end", "status"), [("kill()", -signal.SIGTERM), ("sys.exit(3)", 3)])
def test_an_end_in_time(program: Start, end: str, status: int) -> None:
    """A process that ends in its time has its handlers run and its status, and no keeper left."""
    child = start(
        program,
        f"""
    def kill():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    lastout.handle_signals(limit=60)
    lastout.register(say, "handler")
    {end}
    """,
    )
    assert child.end().status == status
    assert child.lines == ["handler"]


def test_a_pool_ends_its_workers(program: Start) -> None:
    """`Pool.terminate()` takes no longer than the limit, though a worker is in C code."""
    child = start(
        program,
        """
    import multiprocessing

    def work(_):
        say("stuck")
        stuck(60)

    if __name__ == "__main__":
        lastout.handle_signals(limit=0.5)  # which a forked child inherits
        pool = multiprocessing.get_context("fork").Pool(2)
        pool.map_async(work, range(2), 1)
        while not open("said").read().count("stuck") == 2:
            time.sleep(0.01)
        pool.terminate()
        pool.join()
        say(len(keepers(os.getpid())))
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["stuck", "stuck", "1"]


def test_others_do_not_start_the_clock(program: Start) -> None:
    """A signal that is not among the handled ones, and the end of a child, are no end."""
    child = start(
        program,
        """
    lastout.handle_signals(limit=0.2)
    signal.signal(signal.SIGUSR1, lambda *_: say("SIGUSR1"))
    os.kill(os.getpid(), signal.SIGUSR1)
    stuck(0.6)
    if not os.fork():
        sys.exit()
    os.wait()
    time.sleep(0.6)
    say("alive")
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["SIGUSR1", "alive"]


def test_called_off(program: Start) -> None:
    """A signal that turns out to be somebody else's stops the clock; the next one starts it."""
    child = start(
        program,
        """
    from lastout._exits import limit

    lastout.handle_signals(limit=0.3)
    limit.begin()
    limit.call_off()
    time.sleep(0.6)
    say("alive")
    limit.begin()
    time.sleep(60)
    """,
    )
    assert child.end().status == -signal.SIGKILL
    assert child.lines == ["alive"]


def test_restored(program: Start) -> None:
    """After `restore()` there is no limit any more, and nobody who keeps it."""
    child = start(
        program,
        """
    with lastout.handle_signals(limit=0.2):
        [keeper] = keepers(os.getpid())
        held = os.pidfd_open(keeper)
    import select
    say(len(select.select([held], [], [], 30)[0]))
    atexit.register(time.sleep, 0.5)
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["1"]


def test_it_is_nobodys_child(program: Start) -> None:
    """Whoever waits for just any child, such as a handler of SIGCHLD, does not see it."""
    child = start(
        program,
        """
    def wait(*_):
        try:
            say(os.wait())
        except ChildProcessError:
            return

    signal.signal(signal.SIGCHLD, wait)
    lastout.handle_signals(limit=60)
    wait()
    say("no child")
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["no child"]


def test_it_has_nothing_of_others(program: Start) -> None:
    """It holds no file, pipe or directory of its process, nor what a scope is known by."""
    child = start(
        program,
        """
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    os.environ["LASTOUT_ARTIFACT"] = os.environ["LASTOUT_SCOPE"] = "none"
    lastout.handle_signals(limit=60)
    [keeper] = keepers(os.getpid())
    place = f"/proc/{keeper}"
    held = [os.readlink(f"{place}/fd/{name}") for name in os.listdir(f"{place}/fd")]
    mine = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2, ours)]
    say(set(held) & set(mine), os.readlink(f"{place}/cwd"))
    say("LASTOUT_ARTIFACT" in open(f"{place}/environ").read())
    say("LASTOUT_SCOPE" in open(f"{place}/environ").read())
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["set() /", "False", "False"]


def test_it_is_killed_itself(program: Start) -> None:
    """Without it a process ends in order, also where SIGPIPE kills; a forked child gets another."""
    child = start(
        program,
        """
    import select

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    lastout.handle_signals(signal.SIGTERM, signal.SIGALRM, limit=0.5)
    lastout.register(say, "handler")
    [keeper] = keepers(os.getpid())
    held = os.pidfd_open(keeper)
    os.kill(keeper, signal.SIGKILL)
    select.select([held], [], [], 30)
    child = os.fork()
    if not child:
        say("child", len(keepers(os.getpid())))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        stuck(60)
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    """,
    )
    assert child.end().status == -signal.SIGTERM
    assert child.lines == ["child 1", "-9", "handler"]


def test_its_descriptor_was_closed(program: Start) -> None:
    """A program that closes what it does not know, and opens files, finds them untouched."""
    child = start(
        program,
        """
    from lastout._exits import limit

    lastout.handle_signals(limit=60)
    door, line = limit._door._socket.fileno(), limit._line._socket.fileno()
    for number in (door, line):
        os.dup2(os.open(f"file{number}", os.O_RDWR | os.O_CREAT), number)
    limit.begin()
    if not os.fork():
        limit.begin()
        os.close(limit._line._socket.fileno())
        limit.begin()
        limit.stop()
        sys.exit()
    os.wait()
    limit.stop()
    os.fstat(door)
    os.fstat(line)
    say(*(os.path.getsize(f"file{number}") for number in (door, line)))
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["0 0"]


def test_asked_for_again(program: Start) -> None:
    """The last limit holds; where the keeper was killed, another one keeps it."""
    child = start(
        program,
        """
    import select
    from lastout._exits import limit

    lastout.handle_signals(limit=0.2)
    lastout.handle_signals(limit=60)
    limit.begin()
    time.sleep(0.5)
    limit.call_off()
    [keeper] = keepers(os.getpid())
    held = os.pidfd_open(keeper)
    os.kill(keeper, signal.SIGKILL)
    select.select([held], [], [], 30)
    lastout.handle_signals(limit=60)
    say(len(keepers(os.getpid())))
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["1"]


def test_sigchld_is_ignored(program: Start) -> None:
    """Where ended children vanish unseen, there is a limit all the same."""
    child = start(
        program,
        """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    lastout.handle_signals(limit=60)
    say(len(keepers(os.getpid())))
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["1"]


def test_a_child_of_one_without(program: Start) -> None:
    """A process that is forked after `restore()` has no limit; one forked before it has."""
    child = start(
        program,
        """
    with lastout.handle_signals(limit=60):
        pass
    with lastout.handle_signals():
        pass
    while keepers(os.getpid()):  # it ends in a moment
        time.sleep(0.01)
    if not os.fork():
        say("child", len(keepers(os.getppid())))
        sys.exit()
    os.wait()
    lastout.handle_signals(limit=60)
    if not os.fork():
        say("child", len(keepers(os.getppid())))
        sys.exit()
    os.wait()
    """,
    )
    assert child.end().status == 0
    assert child.lines == ["child 0", "child 1"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("1", TypeError), (-1, lastout.UsageError), (float("nan"), lastout.UsageError)],
)
def test_no_seconds(wrong: float, error: type[Exception]) -> None:
    """What is no number of seconds is refused, and nothing was changed."""
    with pytest.raises(error, match="limit"):
        lastout.handle_signals(limit=wrong)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_without_pidfds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes cannot be held it says so, and nothing was changed."""
    monkeypatch.setattr(pids, "has_pidfds", lambda: False)
    with pytest.raises(lastout.UsageError, match="pidfds"):
        lastout.handle_signals(limit=1)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("executable", ["", "/bin/false"])
def test_in_a_host_of_another_name(program: Start, executable: str) -> None:
    """Where Python is embedded, a Python that belongs to the host runs the keeper."""
    child = start(
        program,
        f"""
    sys.executable = {executable!r}
    lastout.handle_signals(signal.SIGALRM, limit=0.5)
    say(len(keepers(os.getpid())))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    stuck(60)
    """,
    )
    assert child.end().status == -signal.SIGKILL
    assert child.lines == ["1"]


def test_no_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be started, as by a frozen program, it says so, and nothing was changed."""
    monkeypatch.setattr("sys.frozen", True, raising=False)
    with pytest.raises(lastout.errors.SystemRefused, match="keeper"):
        lastout.handle_signals(limit=1)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
