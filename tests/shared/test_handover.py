"""Hand-over: a forked child is a member from its first moment, and its parent's lock its own."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope
from lastout._scopes.membership import handover, membership
from lastout.backends import descriptors, journals
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


def test_a_child_whose_parent_leaves_at_once(program: Callable[..., Program]) -> None:
    """A parent that forks and leaves takes nothing from under its child: 200 times of 200."""
    child = program("""
        import os
        import lastout
        from say import say

        lost = 0
        for _ in range(200):
            scope = lastout.Scope("s")
            directory = scope.directory()
            read, write = os.pipe()
            pid = os.fork()
            if not pid:
                os.close(write)
                os.read(read, 1)         # until the parent has left
                there = os.path.isdir(directory)
                left = scope.leave()
                gone = not os.path.exists(directory)
                os._exit(not (there and gone and left.ok))
            os.close(read)
            scope.leave()
            os.close(write)
            lost += os.waitpid(pid, 0)[1] != 0
        say("lost", lost)
    """)
    ended = child.end(120)
    assert ended.status == 0, ended.err
    assert child.lines == ["lost 0"]


def test_a_killed_parent(program: Callable[..., Program]) -> None:
    """A parent that is killed does not look alive because its child lives, nor the reverse."""
    child = program("""
        import os, signal
        import lastout
        from say import say

        top = lastout.Scope("s")
        pid = os.fork()
        if not pid:
            scope = lastout.current_scope()
            mine = scope.directory(lifetime="member")
            say(mine)
            if not os.fork():
                say("ready", os.path.exists(mine))
            signal.pause()
        input()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        say(len(lastout.reap(name="s").done), [one.alive for one in top.members()])
        input()
    """)
    child.wait_for("ready True")
    child.tell()
    child.wait_for("1 [True, True]")
    scope = os.path.join(os.environ["LASTOUT_ROOT"], "s")
    mine = next(line for line in child.lines if line.startswith("/"))
    assert not os.path.exists(mine)
    os.killpg(child.pid, signal.SIGKILL)  # with the grandchild
    child.end()
    assert eventually(lambda: not lastout.reap() and not os.path.exists(scope))


def test_a_child_has_its_own_things(program: Callable[..., Program]) -> None:
    """Member-lifetime things of a parent stay when its child leaves, and the child's go."""
    child = program("""
        import os
        import lastout
        from say import say

        with lastout.Scope("s") as scope:
            parents = scope.directory(lifetime="member")
            pid = os.fork()
            if not pid:
                childs = scope.directory(lifetime="member")
                say(len(scope.members()), len(scope.report))
                report = scope.leave()
                say(len(report.done), os.path.exists(parents), os.path.exists(childs))
                os._exit(0)
            os.waitpid(pid, 0)
            say(len(scope.members()), os.path.exists(parents))
        say(os.path.exists(parents))
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["2 0", "1 True False", "1 True", "False"]


def test_a_child_leaves_at_its_end(program: Callable[..., Program]) -> None:
    """A forked child of multiprocessing leaves by itself, before and after its parent."""
    child = program("""
        import multiprocessing, os
        import lastout
        from say import say

        def work(scope):
            say(os.path.basename(scope.directory(lifetime="member"))[:9], len(scope.members()))

        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            with lastout.Scope("s") as scope:
                workers = [context.Process(target=work, args=(scope,)) for _ in range(3)]
                for worker in workers:
                    worker.start()
                    worker.join()
                say(len(scope.members()), len(scope.artifacts()))
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["directory 2"] * 3 + ["1 0"]


def test_a_child_leaves_before_its_end(program: Callable[..., Program]) -> None:
    """A forked child leaves by `current_scope()`, or by the copies of its parent's scopes."""
    child = program("""
        import os, sys
        import lastout
        from say import say

        def in_child(leave):
            pid = os.fork()
            if not pid:
                mine = lastout.current_scope().directory(lifetime="member")
                leave()
                say("left", not os.path.exists(mine))
                os._exit(0)
            os.waitpid(pid, 0)

        def by_copies():
            inner.leave()
            still = os.path.isdir(lastout.current_scope().directory(lifetime="member"))
            say("still in", still)
            outer.leave()

        outer, inner = lastout.Scope("s"), lastout.Scope("s")
        in_child(lambda: lastout.current_scope().leave())
        in_child(by_copies)
        say("parent", len(outer.members()), os.path.isdir(outer.directory()))
        inner.leave()
        outer.leave()
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["left True", "still in True", "left True", "parent 1 True"]
    assert ended.err == ""


def test_a_child_that_cannot_say_who_it_is(program: Callable[..., Program]) -> None:
    """A child of which all hand-over but the lock fails is alive in each scope all the same."""
    child = program("""
        import os
        import lastout
        from lastout._scopes.membership import membership
        from say import say

        def refused():
            raise OSError(24, "no descriptors")

        scopes = lastout.Scope("s"), lastout.Scope("t")
        membership.here, here = refused, membership.here
        (theirs, ready), (wait, go_on) = os.pipe(), os.pipe()
        pid = os.fork()
        membership.here = here
        if not pid:
            os.write(ready, b".")
            os.read(wait, 1)
            say("left", [scope.leave().ok for scope in scopes])
            os._exit(0)
        os.read(theirs, 1)
        lastout.reap()
        say([[one.alive for one in scope.members()] for scope in scopes])
        os.write(go_on, b".")
        os.waitpid(pid, 0)
        say([[one.alive for one in scope.members()] for scope in scopes])
        for scope in scopes:
            scope.leave()
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["[[True, True], [True, True]]", "left [True, True]", "[[True], [True]]"]
    assert ended.err.count("[Errno 24]") == 2


def test_forks_from_many_threads(program: Callable[..., Program]) -> None:
    """Threads that fork and probe at once leave no lock in the wrong process."""
    child = program("""
        import os, threading
        import lastout
        from say import say

        scope = lastout.Scope("s")

        def fork():
            for _ in range(25):
                pid = os.fork()
                if not pid:
                    os._exit(len(scope.members()) < 2)
                failures.append(os.waitpid(pid, 0)[1])

        def look():
            while not over.is_set():
                scope.members()
                scope.file().release()

        failures, over = [], threading.Event()
        looker = threading.Thread(target=look)
        forkers = [threading.Thread(target=fork) for _ in range(3)]
        for thread in [looker, *forkers]:
            thread.start()
        for thread in forkers:
            thread.join()
        over.set()
        looker.join()
        say(sum(failures), len(lastout.reap(name="s")), len(scope.members()))
        scope.leave()
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["0 0 1"]


def test_a_fork_that_python_did_not_see(program: Callable[..., Program]) -> None:
    """A child forked behind Python's back writes nothing as its parent, and cleans nothing."""
    child = program("""
        import ctypes, os
        import lastout
        from say import say

        scope = lastout.Scope("s")
        directory = scope.directory()
        pid = ctypes.CDLL(None).fork()
        if not pid:
            try:
                scope.directory()
            except lastout.UsageError as error:
                say("forked behind" in str(error))
            scope.leave()
            os._exit(0)
        os.waitpid(pid, 0)
        say(os.path.isdir(directory), len(scope.members()))
        scope.leave()
        say(os.path.isdir(directory))
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["True", "True 1", "False"]


def test_a_preexec_fn_keeps_no_scope_alive(program: Callable[..., Program]) -> None:
    """A program started through `preexec_fn` is no member."""
    child = program("""
        import os, subprocess
        import lastout
        from say import say

        with lastout.Scope("s") as scope:
            directory = scope.directory()
            daemon = subprocess.Popen(["sleep", "60"], preexec_fn=os.setpgrp)
        say(os.path.exists(directory), os.path.exists(scope.path))
        daemon.kill()
        daemon.wait()
    """)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["False False"]


def test_a_daemon_that_closes_everything(program: Callable[..., Program]) -> None:
    """A forked child that closes all descriptors is still alive, and still a member."""
    child = program(
        """
        import os, signal
        import lastout
        from say import say

        scope = lastout.Scope("s")
        directory = scope.directory()
        pid = os.fork()
        if not pid:
            os.setsid()
            os.closerange(0, 256)
            users = [os.open("/dev/null", os.O_RDWR) for _ in range(20)]
            say("ready")
            signal.sigwait({signal.SIGUSR1})
            mine = scope.directory(lifetime="member")
            say(os.path.isdir(directory), os.path.isdir(mine))
            scope.leave()
            say(os.path.isdir(directory), os.path.isdir(mine))
            for number in users:
                os.close(number)
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        input()
        scope.leave()
        os.kill(pid, signal.SIGUSR1)
        os.waitpid(pid, 0)
    """.replace(
            "pid = os.fork()",
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n        pid = os.fork()",
        )
    )
    child.wait_for("ready")
    child.tell()
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["ready", "True True", "False False"]


def test_no_hand_over_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be handed over, the child keeps its parent's lock until it joined."""
    tries = []
    write = os.write

    def full_once(number: int, records: bytes) -> int:
        tries.append(number)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "full")
        return write(number, records)

    with Scope("s") as scope:
        directory = scope.directory()
        monkeypatch.setattr(journals.os, "write", full_once)
        pid = os.fork()
        if not pid:
            mine = scope.directory(lifetime="member")
            good = len(scope.members()) == 2 and os.path.isdir(mine) and scope.leave().ok
            os._exit(not (good and os.path.isdir(directory)))
        monkeypatch.undo()
        assert os.waitpid(pid, 0)[1] == 0
        assert os.path.isdir(directory)
    assert tries


def test_nothing_is_left_in_the_parent() -> None:
    """After a fork the parent has neither the child's descriptor nor a lock on forks."""
    with Scope("s"):
        before = len(descriptors._kept)
        pid = os.fork()
        if not pid:
            os._exit(len(descriptors._kept) != before or len(membership.joined) != 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert len(descriptors._kept) == before
        assert handover._handed == []
        assert handover._locked_out == []


FORKING = """
    import os, threading
    import lastout
    from say import say

    cleaning, forked = threading.Event(), threading.Event()
    children = []

    def fork(scope):
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(read)
            children.append((pid, write))
            return
        os.close(write)
        os.read(read, 1)  # until the parent has left
        try:
            scope.file()
        except lastout.UsageError:
            say("outside")
        lastout.unwind()
        os._exit(0)

    def callback(who):
        if who == "callback":
            fork(lastout.current_scope())
        cleaning.set()
        forked.wait(30)

    def main(who):
        scope = lastout.Scope("s")
        scope.callback(callback, who)
        leaving = threading.Thread(target=scope.leave)
        leaving.start()
        cleaning.wait(30)
        if who == "thread":
            fork(scope)
        forked.set()
        leaving.join()
        [(pid, write)] = children
        os.close(write)
        say("child", os.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize("who", ["thread", "callback"])
def test_a_fork_while_its_parent_cleans(program: Callable[..., Program], who: str) -> None:
    """A child that is forked when its parent is already being counted out is outside."""
    child = program(
        "import forking, sys; forking.main(sys.argv[1])",
        args=[who],
        modules={"forking": FORKING},
        env={"PYTHONWARNINGS": "ignore"},  # of forks in a process with threads
    )
    ended = child.end(60)
    assert (ended.status, ended.err) == (0, "")
    assert child.lines == ["outside", "child 0"]


HOLDING = """
    import os, sys, threading
    from contextlib import nullcontext
    import lastout
    from lastout._scopes.records.scope_lock import ScopeRef
    from lastout.backends.local import LocalBackend
    from say import say

    def links():
        for name in os.listdir("/proc/self/fd"):
            try:
                yield os.readlink(f"/proc/self/fd/{name}")
            except FileNotFoundError:  # that of the listing
                continue

    scope = lastout.Scope("s")
    there, done = threading.Event(), threading.Event()

    def keep_it():
        with ScopeRef(LocalBackend(), "s").lock():
            there.set()
            done.wait(30)

    def wait_for_it():
        from lastout.backends import locks
        locks.time.sleep = lambda _: (there.set(), done.wait(30))
        with ScopeRef(LocalBackend(), "s").lock():
            pass

    waits = sys.argv[1] == "waits"
    with ScopeRef(LocalBackend(), "s").lock() if waits else nullcontext():
        threading.Thread(target=wait_for_it if waits else keep_it).start()
        assert there.wait(30)
        pid = os.fork()
        if not pid:
            root = os.path.dirname(scope.path)
            ours = [one for one in links() if one.startswith(root)]
            say("open", *(os.path.splitext(one)[1] or os.path.basename(one) for one in ours))
            os._exit(0)
        done.set()
        say("child", os.waitpid(pid, 0)[1])
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at /proc/self/fd")
@pytest.mark.parametrize("thread", ["holds", "waits"])
def test_a_fork_while_another_thread_has_it_open(
    program: Callable[..., Program], thread: str
) -> None:
    """A child has its own journal open, not what another thread had of the scope at the fork."""
    child = program(HOLDING, args=[thread])
    ended = child.end(60)
    assert (ended.status, child.lines) == (0, ["open .journal", "child 0"]), ended.err
