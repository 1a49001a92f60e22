"""Pools: what `worker` does at the start and at the end of a worker."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout.integrations.orphans import _wait_until_dead, end_with_starter
from lastout.integrations.pools import worker
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

HEAD = """
    import multiprocessing, os, signal, sys, threading, time
    import lastout
    from lastout.integrations.pools import worker
    from say import say
"""


def wait_for(child: Program, word: str) -> None:
    """Until one of its processes says so, whether the program itself has ended or not."""
    assert eventually(lambda: any(line.startswith(word) for line in child.lines)), child.lines


@pytest.mark.parametrize(
    "refused",
    [
        lambda: worker("render"),
        lambda: worker(initializer=5),
        lambda: worker(finalizer="close"),
        lambda: worker(finalizer=print, timeout="1"),
    ],
)
def test_what_is_no_scope_and_no_function(refused: Callable[[], object]) -> None:
    """A mistake is told where the pool is made, not in its workers, where nobody looks."""
    with pytest.raises(TypeError):
        refused()


def test_what_cannot_be() -> None:
    """A negative timeout, one without a finalizer and a scope that was left are refused."""
    with pytest.raises(lastout.UsageError):
        worker(finalizer=print, timeout=-1)
    with pytest.raises(lastout.UsageError, match="finalizer="):
        worker(timeout=1)
    with lastout.Scope() as scope:
        pass
    with pytest.raises(lastout.UsageError, match="left"):
        worker(scope)


def test_in_a_thread() -> None:
    """A worker that is a thread sets no signals, joins nothing anew, and keeps nobody in."""
    before = signal.getsignal(signal.SIGTERM)
    called: list[object] = []
    with lastout.Scope() as scope:
        begin = pickle.loads(pickle.dumps(worker(scope)))
        kept = worker(scope, initializer=lambda *args: called.append(args), finalizer=called.clear)
        with ThreadPoolExecutor(1, initializer=kept, initargs=(1, 2)) as pool:
            pool.submit(begin).result()
        assert len(scope.members()) == 1
        path = scope.path
    assert called == [(1, 2)]
    assert signal.getsignal(signal.SIGTERM) is before
    assert not os.path.exists(path)
    assert threading.active_count() == 1
    lastout.unregister(called.clear)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_in_which_order(program: Start, method: str) -> None:
    """Initializer with its arguments, jobs, finalizer, what was there before, then the scope."""
    child = program(
        HEAD
        + """
    def connect(one, two):
        say("initializer", one, two)
        lastout.register(say, "registered by it")

    def job(number):
        lastout.register(say, "registered by a job")
        return os.fspath(lastout.current_scope().directory(lifetime="member"))

    def end():
        say("finalizer", len(lastout.current_scope().artifacts()))

    if __name__ == "__main__":
        with lastout.Scope(wait=20) as scope:
            begin = worker(scope, initializer=connect, finalizer=end)
            pool = multiprocessing.get_context(sys.argv[1]).Pool(1, begin, (1, 2))
            path = pool.apply(job, (0,))
            pool.close()
            pool.join()
            say(os.path.exists(path))
    """,
        args=[method],
    )
    end = child.end()
    assert end.status == 0, end.err
    assert child.lines == [
        "initializer 1 2",
        "registered by a job",
        "finalizer 1",
        "registered by it",
        "False",
    ]


def test_a_finalizer_that_hangs(program: Start) -> None:
    """A finalizer that overruns its time is abandoned and reported; the rest goes on."""
    child = program(
        HEAD
        + """
    def end():
        say("finalizer")
        threading.Event().wait()

    def connect():
        lastout.register(say, "rest")

    if __name__ == "__main__":
        begin = worker(initializer=connect, finalizer=end, timeout=0.1)
        with multiprocessing.get_context("fork").Pool(1, begin) as pool:
            pool.apply(abs, (1,))
        pool.join()
    """
    )
    end = child.end(seconds=20)
    assert end.status == 0
    assert child.lines == ["finalizer", "rest"]
    assert "HandlerTimeout" in end.err


def test_an_initializer_that_raises(program: Start) -> None:
    """It breaks the pool as it would by itself, and its finalizer does not run."""
    child = program(
        HEAD
        + """
    from concurrent.futures import ProcessPoolExecutor

    def connect():
        lastout.register(say, "registered")
        raise ValueError("no database")

    if __name__ == "__main__":
        begin = worker(initializer=connect, finalizer=lambda: say("finalizer"))
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(1, context, begin) as pool:
            say(type(pool.submit(abs, 1).exception()).__name__)
    """
    )
    end = child.end()
    assert "no database" in end.err
    assert child.lines == ["registered", "BrokenProcessPool"]


def test_two_scopes(program: Start) -> None:
    """A worker may be in several scopes: the last is the current one, and each cleans its own."""
    child = program(
        HEAD
        + """
    def job(outer):
        made = lastout.current_scope().directory(), outer.directory()
        return [os.fspath(path) for path in made]

    if __name__ == "__main__":
        with lastout.Scope("outer", wait=20) as outer:
            with lastout.Scope("inner", wait=20) as inner:
                assert lastout.current_scope().path == inner.path
                begin = worker(outer, inner)
                with multiprocessing.get_context("spawn").Pool(1, begin) as pool:
                    mine, of_outer = pool.apply(job, (outer,))
                    say(len(outer.members()), len(inner.members()))
                    say([one.location for one in inner.artifacts()] == [mine])
                pool.join()
            assert lastout.current_scope().path == outer.path
            say(os.path.exists(mine), os.path.exists(of_outer))
        say(os.path.exists(of_outer))
    """
    )
    end = child.end()
    assert end.status == 0, end.err
    assert child.lines == ["2 2", "True", "False True", "False"]


def test_a_pool_that_was_there_before_the_scope(program: Start) -> None:
    """Its workers are in no scope, say what to do, and join by a scope that a job is given."""
    child = program(
        HEAD
        + """
    def lost(_):
        try:
            lastout.current_scope()
        except lastout.UsageError as error:
            say(error)

    def given(scope):
        return os.fspath(scope.directory(lifetime="member"))

    if __name__ == "__main__":
        with multiprocessing.get_context("fork").Pool(1, lastout.handle_signals) as pool:
            with lastout.Scope(wait=0.1) as scope:
                pool.map(lost, [0])
                [path] = pool.map(given, [scope])
                say(len(scope.members()), os.path.exists(path))
        pool.join()
        say(os.path.exists(path), os.path.exists(scope.path))
    """
    )
    end = child.end()
    assert end.status == 0, end.err
    said, *rest = child.lines
    assert "started before" in said
    assert "worker" in said
    assert rest == ["2 True", "False False"]


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_an_orphan_ends(program: Start, state: str) -> None:
    """A worker whose parent was killed ends, in the middle of a job too, and cleans up."""
    child = program(
        HEAD
        + """
    def job(_):
        lastout.current_scope().directory(lifetime="member")
        say("ready")
        if sys.argv[1] == "busy":
            time.sleep(60)

    if __name__ == "__main__":
        with lastout.Scope() as scope:
            begin = worker(scope, finalizer=lambda: say("finalizer"))
            pool = multiprocessing.get_context("fork").Pool(1, begin)
            result = pool.apply_async(job, (0,))
            threading.Event().wait()
    """,
        args=[state],
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    wait_for(child, "finalizer")


def test_an_orphan_that_may_live(program: Start) -> None:
    """With `outlive_parent` a worker goes on without its parent, whatever its scope says."""
    child = program(
        HEAD
        + """
    def job(parent):
        say("ready", os.getpid())
        while os.getppid() == parent:
            time.sleep(0.005)
        say("alone")
        while not os.path.exists("go"):
            time.sleep(0.005)
        say(len(lastout.current_scope().members()))
        os.kill(os.getpid(), signal.SIGTERM)

    if __name__ == "__main__":
        scope = lastout.Scope(end_workers=True)
        begin = worker(scope, outlive_parent=True)
        pool = multiprocessing.get_context("fork").Pool(1, begin)
        result = pool.apply_async(job, (os.getpid(),))
        threading.Event().wait()
    """
    )
    wait_for(child, "ready")
    child.kill()
    child.end()
    wait_for(child, "alone")
    assert lastout.reap().ok
    (child.directory / "go").touch()
    wait_for(child, "1")


def test_one_without_a_parent() -> None:
    """A process that no package started lives as long as it likes."""
    assert not end_with_starter()


def test_a_parent_that_is_dead_already() -> None:
    """A parent that has ended before it could be watched is not waited for."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    _wait_until_dead(SimpleNamespace(pid=pid))


@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_a_parent_that_cannot_be_asked(error: type[Exception]) -> None:
    """One that is not right above and cannot be asked counts as dead: its number is another's."""

    def refuse() -> bool:
        raise error

    _wait_until_dead(SimpleNamespace(pid=os.getpid(), is_alive=refuse))


def test_an_orphan_where_processes_cannot_be_held(program: Start) -> None:
    """Without pidfds a worker whose parent was killed ends too."""
    child = program(
        HEAD
        + """
    from lastout.integrations import orphans

    def work():
        orphans.has_pidfds = lambda: False
        orphans.end_with_starter()
        lastout.handle_signals()
        lastout.register(say, "ended")
        say("ready")
        threading.Event().wait()

    if __name__ == "__main__":
        multiprocessing.get_context("fork").Process(target=work).start()
        threading.Event().wait()
    """
    )
    child.wait_for("ready")
    child.kill()
    child.end()
    wait_for(child, "ended")


def test_an_orphan_that_begins_asks_itself_once(program: Start) -> None:
    """A worker that begins when its parent has died sends itself one SIGTERM, not two."""
    child = program(
        HEAD
        + """
    def count(signum, frame):
        say("SIGTERM")

    def work(begin, parent):
        while os.getppid() == parent:
            time.sleep(0.005)
        signal.signal(signal.SIGTERM, count)
        try:
            begin()
        except SystemExit as end:
            say("ends", end.code)

    if __name__ == "__main__":
        scope = lastout.Scope(end_workers=True)
        begin = worker(scope, signals=())
        context = multiprocessing.get_context("fork")
        context.Process(target=work, args=(begin, os.getpid())).start()
        say("started")
        threading.Event().wait()
    """
    )
    child.wait_for("started")
    child.kill()
    child.end()
    wait_for(child, "ends")
    assert child.lines.count("SIGTERM") == 1
