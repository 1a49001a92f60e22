"""Events: what wakes a guardian, on systems that tell of ends and changes and on those that do not.

Signals and the wakeup descriptor are those of the process, so each test is one of its own.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

SETUP = """
    import errno, fcntl, os, select, signal, sys, threading
    from time import monotonic
    from lastout._platform import events, pids
    from say import say

    os.mkdir("watched")
    directory = os.open("watched", os.O_RDONLY)

    def process():
        pid = os.fork()
        if not pid:
            signal.pause()
        return pid

    def end(pid):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # ended, and not waited for
"""
LINES = {
    "the best there is": "",
    "no pidfd": "del os.pidfd_open",
    "pidfd forbidden": """
        def forbidden(pid):
            raise OSError(errno.EPERM, "no")
        events.open_pidfd = forbidden
    """,
    "no dnotify": "fcntl.F_NOTIFY = -1",
    "kqueue": f"""
        sys.path.append({str(Path(__file__).parent / "support")!r})
        import kqueue
        for name, value in vars(kqueue).items():
            if name.startswith(("kqueue", "kevent", "KQ_")):
                setattr(select, name, value)
    """,
}


def run(program: Callable[..., Program], script: str, how: str = "") -> list[str]:
    child = program("\n".join(map(dedent, (SETUP, LINES.get(how, ""), script))))
    ended = child.end()
    assert ended.status == 0, ended.err
    return child.lines


@pytest.mark.parametrize("how", LINES)
def test_an_end_and_a_change(program: Callable[..., Program], how: str) -> None:
    """The end of a process wakes it, so does a file that comes by a rename or goes; no other."""
    lines = run(
        program,
        """
    watcher = events.watch(directory)
    one, two = process(), process()
    say(watcher.follow(one, pids.process_facts(one).started), watcher.follow(two, None))
    end(one)
    ended, _ = watcher.wait(30)
    say(ended == {one})
    os.listdir(directory)             # which closes a copy of the descriptor
    def comes():
        open("watched/.new", "w").close()
        os.rename("watched/.new", "watched/a.journal")
    def goes():
        os.unlink("watched/a.journal")
    for happens in comes, goes:
        timer = threading.Timer(0.05, happens)
        began, found = monotonic(), (set(), False)
        timer.start()
        while not found[1]:
            found = watcher.wait(30)
        say(found[0] == set(), monotonic() - began < 5)
        timer.join()
    end(two)
    while not (ended := watcher.wait(30)[0]):
        pass
    say(ended == {two})
    os.waitpid(one, 0); os.waitpid(two, 0)
    """,
        how,
    )
    assert lines == ["True True", "True", "True True", "True True", "True"]


@pytest.mark.parametrize("how", LINES)
def test_nothing_can_be_told(program: Callable[..., Program], how: str) -> None:
    """Without descriptors a child is followed all the same; another process is not, nor later."""
    lines = run(
        program,
        """
    watcher = events.watch(directory)
    one, two = process(), process()
    started = pids.process_facts(two).started
    def told_nothing(pid):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    telling, events.process_facts = events.process_facts, told_nothing
    say(watcher.follow(one, None))
    try:
        watcher.follow(two, started)
    except OSError as error:
        say(error.errno == errno.EMFILE)
    watcher.wait(0.01)
    events.process_facts = telling
    say(watcher.follow(two, started - 1))
    end(one)
    while not (ended := watcher.wait(30)[0]):
        pass
    say(ended == {one})
    end(two)
    os.waitpid(one, 0); os.waitpid(two, 0)
    """,
        how,
    )
    assert lines == ["True", "True", "False", "True"]


@pytest.mark.parametrize("how", LINES)
def test_one_that_is_not_there(program: Callable[..., Program], how: str) -> None:
    """A process that has ended, waited for or not, or has another's pid, is not followed."""
    lines = run(
        program,
        """
    watcher = events.watch(directory)
    one = process()
    started = pids.process_facts(one).started
    say(watcher.follow(one, started - 1), watcher.follow(one, started))
    end(one)
    while not watcher.wait(30)[0]:
        pass
    say(watcher.follow(one, started))
    os.waitpid(one, 0)
    say(watcher.follow(one, started))
    fds = os.listdir("/proc/self/fd")
    watcher.follow(one, started)
    say(os.listdir("/proc/self/fd") == fds)
    """,
        how,
    )
    assert lines == ["False True", "False", "False", "True"]


def test_no_descriptors_left(program: Callable[..., Program]) -> None:
    """Processes for which no descriptors are left are looked at each second."""
    lines = run(
        program,
        """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 64))
    watcher = events.watch(directory)
    many = [process() for _ in range(40)]
    say(all(watcher.follow(one, None) for one in many))
    for one in many:
        end(one)
    found = set()
    began = monotonic()
    while found != set(many):
        found |= watcher.wait(30)[0]
    say(monotonic() - began < 5)
    for one in many:
        os.waitpid(one, 0)
    """,
    )
    assert lines == ["True", "True"]


@pytest.mark.parametrize("how", LINES)
def test_any_thread_can_wake_a_bell(program: Callable[..., Program], how: str) -> None:
    """Any thread can wake it, also before it sleeps; and it sleeps no longer than it is told."""
    lines = run(
        program,
        """
    watcher = events.watch(directory)
    for _ in range(100_000):
        watcher.ring()                # more than the pipe takes
    say(watcher.wait(30)[1])
    threading.Timer(0.05, watcher.ring).start()
    say(watcher.wait(30)[1])
    began = monotonic()
    watcher.wait(0.05)
    say(0.05 <= monotonic() - began < 5)
    """,
        how,
    )
    assert lines == ["True", "True", "True"]
