"""The end of a process that still has children: its scopes are left when these have ended."""

from __future__ import annotations

import os
import signal
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from support import eventually
from support.scripts import each_method, each_package

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

BEGIN = """
    import importlib, os, sys
    # A fork server imports this too, and has no arguments.
    package, method, first = sys.argv[1:] or ("", "", "")
    if first == "package first":
        importlib.import_module(package + ".util")
    import lastout
    from jobs import job, parent
    from say import say

    def there(names):
        return [os.path.exists(name) for name in names]

    def open_pool(scope):
        "A pool in the middle of its work, and what its workers and this process have made."
        import time
        context = importlib.import_module(package).get_context(method)
        pool = context.Pool(2, scope.worker)
        names = pool.map(job, range(2)) + [os.fspath(scope.directory())]
        pool.map_async(time.sleep, [60, 60])
        return pool, names
"""
# A module, because dill cannot pickle functions of the main script on Python 3.15.
JOBS = """
    import importlib, os
    import lastout
    from say import say

    def job(_):
        return os.fspath(lastout.current_scope().directory(lifetime="member"))

    def parent(package, method):
        "Ends with a pool that is still open."
        global pool
        scope = lastout.Scope("s")
        pool = importlib.import_module(package).get_context(method).Pool(2, scope.worker)
        say(*pool.map(job, range(2)))
"""

each_order = pytest.mark.parametrize("first", ["package first", "lastout first"])


def run(
    program: Start,
    text: str,
    package: str = "multiprocessing",
    method: str = "fork",
    first: str = "package first",
) -> list[str]:
    """What a program said that ended well, and left nothing."""
    script, modules = dedent(BEGIN) + dedent(text), {"jobs": JOBS}
    child = program(script, args=[package, method, first], modules=modules)
    end = child.end()
    assert (end.status, end.err) == (0, ""), end.err
    assert nothing_left()
    return child.lines


def nothing_left() -> bool:
    """Whether the scopes of this test are gone, and nobody had to reap them."""
    root = os.environ["LASTOUT_ROOT"]
    return eventually(lambda: not os.path.isdir(os.path.join(root, "s")))


@each_order
@each_method
@each_package
def test_a_pool_is_still_open(program: Start, package: str, method: str, first: str) -> None:
    """What the workers of a pool made is gone when the program has ended, as is all else."""
    said = run(
        program,
        """
        if __name__ == "__main__":
            scope = lastout.Scope("s")
            pool, names = open_pool(scope)
            say(*names)
        """,
        package,
        method,
        first,
    )
    assert not any(map(os.path.exists, said[0].split()))


def test_pools_of_both_packages(program: Start) -> None:
    """A scope is left when both packages have ended their children, whichever is the first."""
    said = run(
        program,
        """
        if __name__ == "__main__":
            import multiprocess.util
            scope = lastout.Scope("s")
            pools = []
            for package in ("multiprocess", "multiprocessing"):
                pool, names = open_pool(scope)
                pools.append(pool)
                say(*names)
        """,
    )
    assert not any(map(os.path.exists, " ".join(said).split()))


def test_handlers_find_the_pool_open(program: Start) -> None:
    """All handlers, and functions of atexit that were registered before them, can use a pool."""
    assert run(
        program,
        """
        if __name__ == "__main__":
            import atexit
            def use(word):
                say(word, pool.apply(abs, (-1,)), there(names))
            atexit.register(use, "atexit")
            lastout.register(use, "before the scope")
            scope = lastout.Scope("s")
            lastout.register(use, "after it")
            context = importlib.import_module(package).get_context(method)
            pool, names = context.Pool(2, scope.worker), [scope.directory()]
        """,
    ) == ["after it 1 [True]", "before the scope 1 [True]", "atexit 1 [True]"]


def test_a_pool_that_a_handler_ends(program: Start) -> None:
    """Where a handler ends the last children, a scope is left right after the handlers."""
    assert run(
        program,
        """
        if __name__ == "__main__":
            import atexit
            def end():
                pool.terminate(), pool.join()
                say("handler", there(names[2:]))
            atexit.register(lambda: say("atexit", there(names)))
            lastout.register(end)
            scope = lastout.Scope("s")
            pool, names = open_pool(scope)
        """,
    ) == ["handler [True]", "atexit [False, False, False]"]


def test_without_children_it_keeps_its_place(program: Start) -> None:
    """A scope is left between the handlers, last in first out, where no child runs."""
    assert run(
        program,
        """
        if __name__ == "__main__":
            lastout.register(lambda: say("before the scope", there(names[2:])))
            scope = lastout.Scope("s")
            lastout.register(lambda: say("after it", there(names[2:])))
            pool, names = open_pool(scope)
            pool.terminate(), pool.join()
        """,
    ) == ["after it [True]", "before the scope [False]"]


def test_the_scope_that_was_joined_last_is_left_first(program: Start) -> None:
    """Scopes are left last in, first out behind the children too, each with a say of its own."""
    assert run(
        program,
        """
        if __name__ == "__main__":
            import time
            from lastout._exits import registry
            scopes = [lastout.Scope(name) for name in "abc"]
            for scope in scopes:
                scope.callback(say, "left", scope.name)
            context = importlib.import_module(package).get_context(method)
            child = context.Process(target=time.sleep, args=(60,), daemon=True)
            child.start()
            registry.end()  # the first of several times: each keeps the order
        """,
    ) == ["left c", "left b", "left a"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_end_of_a_child_with_a_pool(program: Start, method: str) -> None:
    """A child of the package that ends with a pool of its own open leaves after its workers."""
    said = run(
        program,
        """
        if __name__ == "__main__":
            context = importlib.import_module(package).get_context(method)
            child = context.Process(target=parent, args=(package, method))
            child.start()
            child.join()
            say(child.exitcode)
        """,
        method=method,
    )
    assert said[1] == "0"
    assert not any(map(os.path.exists, said[0].split()))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_is_interrupted_while_it_waits_for_a_child(program: Start, signum: int) -> None:
    """Ctrl-C, or a handled signal, while multiprocessing joins a child: the scope is left."""
    child = program(
        BEGIN
        + """
    if __name__ == "__main__":
        import time
        import multiprocessing.util
        lastout.handle_signals()
        scope = lastout.Scope("s")
        scope.callback(say, "left")
        context = importlib.import_module(package).get_context(method)
        child = context.Process(target=time.sleep, args=(60,))
        child.start()
        say(child.pid)
        multiprocessing.util.Finalize(None, say, ("joining",), exitpriority=0)
    """,
        args=["multiprocessing", "spawn", "package first"],
        modules={"jobs": JOBS},
    )
    child.wait_for("joining")
    assert "left" not in child.lines
    child.signal(signum)
    try:
        assert child.end().status == (0 if signum == signal.SIGINT else -signum)
    finally:
        os.kill(int(child.lines[0]), signal.SIGKILL)
    assert child.lines[1:] == ["joining", "left"]
    assert nothing_left()


def test_children_that_nobody_will_end(program: Start) -> None:
    """A program may have taken multiprocessing out of atexit: a scope is left in its place."""
    assert run(
        program,
        """
        if __name__ == "__main__":
            import atexit, time
            atexit.register(lambda: child.kill())
            lastout.register(say, "before the scope")
            scope = lastout.Scope("s")
            scope.callback(say, "left")
            atexit.unregister(sys.modules[package + ".util"]._exit_function)
            context = importlib.import_module(package).get_context(method)
            child = context.Process(target=time.sleep, args=(60,))
            child.start()
        """,
        method="spawn",
    ) == ["left", "before the scope"]


def test_unwind_waits_for_no_children(program: Start) -> None:
    """`unwind()` leaves at once and reports it: it is no end, and a pool stays open."""
    assert run(
        program,
        """
        if __name__ == "__main__":
            scope = lastout.Scope("s")
            pool, names = open_pool(scope)
            say(lastout.unwind().ok, there(names))
            pool.terminate(), pool.join()
            lastout.reap()
            say(there(names))
        """,
    ) == ["True [True, True, True]", "[False, False, False]"]
