"""Before threads: handlers that run before the interpreter joins threads."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout._exits import registry
from lastout._exits.before_threads import _ImportWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

    Start = Callable[..., Program]

KINDS = [
    (package, method)
    for package in ("multiprocessing", "multiprocess")
    for method in ("fork", "spawn", "forkserver")
]
HEAD = """
    import os, signal, sys, threading
    import lastout
    from say import say
"""


@pytest.fixture
def apart() -> Iterator[None]:
    """A stack of the test's own, as if nothing had been registered."""
    mine = registry.new_stack()
    before = registry.exchange(mine)
    try:
        yield
    finally:
        registry.exchange(before)


def test_a_handler_stops_a_thread(program: Start) -> None:
    """A program ends whose handler stops the thread that the interpreter waits for."""
    child = program(
        HEAD
        + """
    stop = threading.Event()

    def work():
        stop.wait()
        say("stopped")

    threading.Thread(target=work).start()
    lastout.register(say, "handler")
    lastout.handler(before_threads=True)(stop.set)
    """
    )
    assert child.end().status == 0
    assert child.lines == ["stopped", "handler"]


@pytest.mark.parametrize("first", ["lastout", "executor"])
@pytest.mark.parametrize("kind", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_an_executor_can_be_used(program: Start, first: str, kind: str) -> None:
    """Such a handler may give work to an executor, whatever was imported first."""
    child = program(
        HEAD
        + f"""
    def use():
        say(executor.submit(abs, -2).result())

    if __name__ == "__main__":
        if {first == "executor"}:
            import concurrent.futures.thread, concurrent.futures.process
        lastout.handler(before_threads=True)(use)
        from concurrent.futures import {kind}
        from multiprocessing import get_context
        executor = {kind}(1)
        say(executor.submit(abs, -1).result())  # from now on Python 3.12 starts none
    """
    )
    assert child.end().status == 0
    assert child.lines == ["1", "2"]


def test_executors_are_imported_as_ever(program: Start) -> None:
    """A module of executors that is imported later looks as one that nobody waited for."""
    child = program(
        HEAD
        + """
    import importlib.machinery, inspect
    before = list(sys.meta_path)
    lastout.handler(before_threads=True)(say)
    thread = importlib.import_module("concurrent.futures.thread")
    importlib.import_module("concurrent.futures.process")
    say(type(thread.__spec__.loader) is importlib.machinery.SourceFileLoader)
    say("_python_exit" in inspect.getsource(thread))
    say(before == sys.meta_path)
    lastout._clear()
    """
    )
    assert child.end().status == 0
    assert child.lines == ["True", "True", "True"]


ENDS = ["return", "sys.exit(0)", "lastout.unwind()", "os.kill(os.getpid(), signal.SIGTERM)"]


@pytest.mark.parametrize("raises", [False, True], ids=["watcher", "raise_in_main"])
@pytest.mark.parametrize("end", ENDS)
def test_they_come_first(program: Start, end: str, raises: bool) -> None:
    """However a process ends, they run before all other handlers, last in first out, once each."""
    child = program(
        HEAD
        + f"""
    def main():
        lastout.handle_signals(raise_in_main={raises})
        lastout.handler(before_threads=True, args=("second",))(say)
        lastout.register(say, "fourth")
        lastout.handler(before_threads=True, args=("first",))(say)
        lastout.register(say, "third")
        {end}
        if {"kill" in end}:
            threading.Event().wait(60)

    main()
    """
    )
    assert child.end().status == (-signal.SIGTERM if "kill" in end else 0)
    assert child.lines == ["first", "second", "third", "fourth"]


# Importable: on Python 3.15 dill cannot pickle functions of the main script.
JOBS = """
    import os, sys, threading
    import lastout
    from say import say

    stop = threading.Event()

    def wait(event):
        event.wait()

    def work(context):
        end = context.Event()
        threading.Thread(target=stop.wait).start()
        context.Process(target=wait, args=(end,)).start()
        lastout.register(say, "handler")

        @lastout.handler(before_threads=True)
        def before():
            say("before")
            stop.set()
            end.set()

    def inherited(parent):
        say("parent" if os.getpid() == parent else "child")
        stop.set()

    def inherit(context):
        threading.Thread(target=stop.wait).start()
        lastout.register(say, "handler")
"""
IN_CHILD = """
    import importlib, os, sys
    import lastout
    import jobs
    from say import say

    if __name__ == "__main__":
        package, method, job = sys.argv[1:]
        if job == "inherit":
            add = lastout.handler(before_threads=True, inherit=True, args=(os.getpid(),))
            add(jobs.inherited)
        context = importlib.import_module(package).get_context(method)
        child = context.Process(target=getattr(jobs, job), args=(context,))
        child.start()
        child.join()
        say(child.exitcode)
"""


@pytest.mark.parametrize(("package", "method"), KINDS)
def test_in_children(program: Start, package: str, method: str) -> None:
    """A child ends whose handler stops a thread and a process that its end would wait for."""
    child = program(IN_CHILD, modules={"jobs": JOBS}, args=[package, method, "work"])
    assert child.end().status == 0
    assert child.lines == ["before", "handler", "0"]


@pytest.mark.parametrize(("package", "method"), KINDS)
def test_inherited(program: Start, package: str, method: str) -> None:
    """With `inherit=True` each child runs it too, before its threads are joined, and once."""
    child = program(IN_CHILD, modules={"jobs": JOBS}, args=[package, method, "inherit"])
    assert child.end().status == 0
    assert child.lines == ["child", "handler", "0", "parent"]


def test_a_forked_child_has_none(program: Start) -> None:
    """A forked child does not run those of its parent, and runs its own."""
    child = program(
        HEAD
        + """
    lastout.handler(before_threads=True, args=("parent",))(say)
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    else:
        stop = threading.Event()
        threading.Thread(target=stop.wait).start()
        lastout.handler(before_threads=True)(stop.set)
        lastout.register(say, "child")
    """
    )
    assert child.end().status == 0
    assert child.lines == ["child", "parent"]


def test_a_fork_server_runs_none(program: Start) -> None:
    """What a module registers that a fork server imports is its children's, once each."""
    child = program(
        """
    import multiprocessing
    from multiprocessing import forkserver

    def work():
        pass

    if __name__ == "__main__":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["early"])
        for _ in range(2):
            child = context.Process(target=work)
            child.start()
            child.join()
        forkserver._forkserver._stop()  # and waits for its end
    """,
        modules={
            "early": """
            import lastout, sys, threading
            from say import say

            @lastout.handler(before_threads=True)
            def before():
                say("before")
                stop.set()

            stop = threading.Event()
            lastout.register(say, "handler")
            """
        },
    )
    assert child.end().status == 0
    assert child.lines == ["before", "handler"] * 2


@pytest.mark.usefixtures("apart")
def test_the_other_functions_know_them() -> None:
    """They are counted, unregistered, cleared and unwound as all handlers are."""
    ran: list[str] = []
    early = lastout.handler(before_threads=True, args=("early",))
    early(ran.append)
    lastout.register(ran.append, "late")
    assert lastout._ncallbacks() == 2
    lastout.unregister(ran.append)
    assert lastout._ncallbacks() == 0
    early(ran.append)
    lastout._clear()
    assert lastout._ncallbacks() == 0
    early(ran.append)
    lastout.register(ran.append, "late")
    assert [outcome.status for outcome in lastout.unwind()] == ["done", "done"]
    assert ran == ["early", "late"]


@pytest.mark.usefixtures("apart")
def test_one_that_is_registered_late() -> None:
    """Registered by an exit handler it is one as all others, and runs next."""
    ran: list[str] = []

    def late() -> None:
        lastout.handler(before_threads=True, args=("newcomer",))(ran.append)
        ran.append("late")

    lastout.register(ran.append, "last")
    lastout.register(late)
    lastout.handler(before_threads=True, args=("early",))(ran.append)
    lastout.unwind()
    assert ran == ["early", "late", "newcomer", "last"]


@pytest.mark.usefixtures("apart")
def test_one_that_hangs_leaves_time(stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    """`unwind(timeout)` leaves time for the handlers behind one that hangs before threads."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    ran: list[str] = []
    lastout.register(ran.append, "late")
    lastout.handler(before_threads=True)(stuck.wait)
    report = lastout.unwind(timeout=0.2)
    assert [outcome.status for outcome in report] == ["timed out", "done"]
    assert ran == ["late"]


@pytest.mark.usefixtures("apart")
def test_failures_are_shown_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed before threads are joined is shown when the last handler has run."""
    ran: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: ran.append(str(args.exc_value)))

    def fail() -> None:
        registry.show(ValueError("told"), fail, None)
        raise ValueError("raised")

    lastout.register(ran.append, "late")
    lastout.handler(before_threads=True)(fail)
    lastout.handler(before_threads=True, args=("early",))(ran.append)
    lastout.unwind()
    assert ran == ["early", "late", "told", "raised"]


def test_threading_is_loaded_when_it_is_needed(program: Start) -> None:
    """Only such a handler loads `threading`, not `import lastout` nor any other handler."""
    child = program(
        """
        import sys, lastout
        from say import say
        lastout.handler(inherit=True)(len)
        say("threading" in sys.modules)
        lastout.handler(before_threads=True)(len)
        say("threading" in sys.modules)
        lastout._clear()
        """,
        isolated=True,
        lazily=False,
    )
    assert child.end().status == 0
    assert child.lines == ["False", "True"]


def test_the_first_one_comes_late(program: Start) -> None:
    """Registered when threads are joined already, the first of all of them runs next."""
    child = program(
        HEAD
        + """
    @lastout.register
    def late():
        lastout.handler(before_threads=True, args=("newcomer",))(say)
        say("late")
    """
    )
    assert child.end().status == 0
    assert child.lines == ["late", "newcomer"]


@pytest.mark.usefixtures("apart")
def test_what_is_told_of_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no handler runs, a failure is shown at once."""
    ran: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: ran.append(str(args.exc_value)))
    lastout.handler(before_threads=True)(print)
    registry.show(ValueError("told"), print, None)
    lastout._clear()
    assert ran == ["told"]


def test_a_module_that_is_not_there() -> None:
    """Who watches for a module that nobody finds, finds none either."""
    assert _ImportWatch("no_such_module", list).find_spec("no_such_module") is None
    assert _ImportWatch("no_such_module", list).find_spec("os") is None
