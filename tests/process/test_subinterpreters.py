"""Subinterpreters: each has a stack of its own, which runs when the interpreter ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Ended, Program

    Start = Callable[..., Program]

# `create(kind)`, `run(interpreter, text)` and `destroy(interpreter)` on each Python.
SUBINTERPRETERS = """
import os, sys
from textwrap import dedent

import lastout
from say import say

if sys.version_info >= (3, 13):
    import _interpreters

    destroy = _interpreters.destroy

    def create(kind):
        return _interpreters.create(kind)

    def run(interpreter, text):
        failure = _interpreters.run_string(interpreter, prelude + dedent(text))
        if failure is not None:
            raise RuntimeError(failure.formatted)
else:
    import _xxsubinterpreters as _interpreters

    destroy = _interpreters.destroy

    def create(kind):
        return _interpreters.create(isolated=kind == "isolated")

    def run(interpreter, text):
        _interpreters.run_string(interpreter, prelude + dedent(text))

prelude = f'''
import os, sys
sys.path[:] = {sys.path!r}
import lastout
from say import say
'''
kind = sys.argv[1]
"""

pytestmark = pytest.mark.unmeasured(reason="coverage.py cannot be loaded in all of these")
each_kind = pytest.mark.parametrize("kind", ["isolated", "legacy"])


@pytest.fixture
def run(program: Start) -> Callable[[str, str], tuple[list[str], Ended]]:
    """Run a main script that has `create`, `run` and `destroy`; what it said, and how it ended."""

    def run(text: str, kind: str) -> tuple[list[str], Ended]:
        from textwrap import dedent

        child = program(SUBINTERPRETERS + dedent(text), args=[kind])
        end = child.end()
        return child.lines, end

    return run


@each_kind
def test_handlers_run_when_the_interpreter_ends(run, kind: str) -> None:
    """A subinterpreter's handlers run once, last in first out, when it is destroyed."""
    lines, end = run(
        """
        interpreter = create(kind)
        run(interpreter, '''
        for word in "first", "second":
            lastout.register(say, word)
        ''')
        say("before")
        destroy(interpreter)
        say("after")
        """,
        kind,
    )
    assert (end.status, end.err) == (0, "")
    assert lines == ["before", "second", "first", "after"]


@each_kind
def test_stacks_are_separate(run, kind: str) -> None:
    """What one interpreter registers, counts, clears or unwinds does not touch another's."""
    lines, end = run(
        """
        lastout.register(say, "main")
        one, other = create(kind), create(kind)
        run(one, "assert lastout._ncallbacks() == 0; lastout.register(say, 'one')")
        run(other, "assert lastout._ncallbacks() == 0; lastout.register(say, 'other')")
        run(other, "lastout._clear()")
        assert lastout._ncallbacks() == 1
        run(other, "lastout.register(say, 'unwound'); assert len(lastout.unwind()) == 1")
        destroy(other)
        assert len(lastout.unwind()) == 1
        lastout.register(say, "main again")
        destroy(one)
        """,
        kind,
    )
    assert (end.status, end.err) == (0, "")
    assert lines == ["unwound", "main", "one", "main again"]


@each_kind
def test_no_at_fork_hook_is_registered(run, kind: str) -> None:
    """A subinterpreter hooks nothing into forks: a hook would outlive it and crash the next one."""
    lines, end = run(
        """
        interpreter = create(kind)
        run(interpreter, '''
        os.register_at_fork = lambda **hooks: say("hooked", *hooks)
        lastout.register(say, "plain")
        lastout.handler(inherit=True, args=("inheritable",))(say)
        ''')
        destroy(interpreter)
        """,
        kind,
    )
    assert (end.status, end.err) == (0, "")
    assert lines == ["inheritable", "plain"]


@each_kind
def test_main_forks_as_before(run, kind: str) -> None:
    """When a subinterpreter has come and gone, forks and their handlers work as ever."""
    lines, end = run(
        """
        for number in range(3):
            interpreter = create(kind)
            run(interpreter, "lastout.register(say, 'sub')")
            destroy(interpreter)
            lastout.register(say, "parent", number)
            pid = os.fork()
            if not pid:
                lastout.register(say, "child", number)
                sys.exit(number)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == number
        """,
        kind,
    )
    assert (end.status, end.err) == (0, "")
    children = [f"child {number}" for number in range(3)]
    parents = [f"parent {number}" for number in (2, 1, 0)]
    assert [line for line in lines if line != "sub"] == children + parents
    assert lines.count("sub") == 3


@each_kind
@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
def test_main_starts_children_as_before(run, kind: str, package: str) -> None:
    """So do the children of both packages, with what they inherit."""
    lines, end = run(
        f"""
        if __name__ == "__main__":
            interpreter = create(kind)
            run(interpreter, "lastout.handler(inherit=True, args=('sub',))(say)")
            destroy(interpreter)
            lastout.handler(inherit=True, args=("inherited",))(say)
            import {package}
            for method in "fork", "spawn":
                child = {package}.get_context(method).Process(target=say, args=(method,))
                child.start()
                child.join()
                assert child.exitcode == 0
        """,
        kind,
    )
    assert (end.status, end.err) == (0, "")
    assert lines == ["sub", "fork", "inherited", "spawn", "inherited", "inherited"]


@each_kind
def test_failing_handler_does_not_stop_the_rest(run, kind: str) -> None:
    """A handler that fails in a subinterpreter is shown, and the others run."""
    lines, end = run(
        """
        interpreter = create(kind)
        run(interpreter, '''
        lastout.register(say, "first")
        lastout.register(lambda: 1 / 0)
        lastout.register(say, "last")
        ''')
        destroy(interpreter)
        """,
        kind,
    )
    assert end.status == 0
    assert "ZeroDivisionError" in end.err
    assert lines == ["last", "first"]


@each_kind
def test_time_limit_leaves_no_thread_behind(run, kind: str) -> None:
    """A handler with a time limit runs to its end: a thread left behind would abort CPython."""
    lines, end = run(
        """
        interpreter = create(kind)
        run(interpreter, '''
        import time
        def slow():
            time.sleep(0.1)
            say("slow")
        lastout.register(say, "first")
        lastout.handler(timeout=0.01)(slow)
        ''')
        destroy(interpreter)
        say("after")
        """,
        kind,
    )
    assert (end.status, lines) == (0, ["slow", "first", "after"]), end.err


@each_kind
def test_interpreter_that_is_alive_at_the_end(run, kind: str) -> None:
    """One nobody destroyed: CPython 3.11 loses its handlers, later ones run them after main's."""
    lines, end = run(
        """
        interpreter = create(kind)
        run(interpreter, "lastout.register(say, 'sub')")
        lastout.register(say, "main")
        """,
        kind,
    )
    assert end.status == 0, end.err
    assert lines == (["main"] if sys.version_info < (3, 12) else ["main", "sub"])


def test_concurrent_interpreters(program: Start) -> None:
    """The public module for subinterpreters, where this Python has it: handlers run at `close`."""
    pytest.importorskip("concurrent.interpreters", reason="new in Python 3.14")
    child = program(
        """
        import sys
        from concurrent import interpreters
        from say import say

        interpreter = interpreters.create()
        interpreter.exec(f"import sys; sys.path[:] = {sys.path!r}")
        interpreter.exec("import lastout; from say import say; lastout.register(say, 'sub')")
        say("before")
        interpreter.close()
        say("after")
        """
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["before", "sub", "after"]
