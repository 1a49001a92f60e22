"""exit_registry and lastout_scope: handlers and artifacts of one test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lastout

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from support.suites import Suite


def test_handlers_run_at_the_end_of_the_test(suite: Callable[..., Suite]) -> None:
    """Handlers registered in a test run when it ends, last in first out, and no others do."""
    ran = suite(
        app="""
            import lastout as atexit
            from say import say

            def start(name):
                atexit.register(say, name, "closed")
        """,
        test_it="""
            import lastout
            from app import start
            from say import say

            lastout.register(say, "end of the process")

            def test_first(exit_registry):
                start("one")
                start("two")
                exit_registry.register(say, "three closed")
                assert exit_registry._ncallbacks() == len(exit_registry) == 3
                say("ran")

            def test_second(exit_registry):
                assert lastout._ncallbacks() == 0
                start("four")
                report = exit_registry.unwind(timeout=5)
                assert [outcome.status for outcome in report] == ["done"]
                start("five")
                lastout.unregister(say)
                say("ran")

            def test_without():
                assert lastout._ncallbacks() == 1
        """,
    ).run()
    assert ran.counts == {"passed": 3}, ran.out
    first = ["ran", "three closed", "two closed", "one closed"]
    assert ran.lines == [*first, "four closed", "ran", "end of the process"]


def test_a_failing_handler_is_an_error_of_the_test(suite: Callable[..., Suite]) -> None:
    """What handlers raise at the end of the test is its error, told once; the rest runs."""
    ran = suite(
        test_it="""
            import lastout
            from say import say

            def broken():
                raise OSError("cannot close")

            def test_it(exit_registry):
                lastout.register(say, "older")
                lastout.register(broken)

            def test_next(exit_registry):
                assert lastout._ncallbacks() == 0
        """
    ).run("-W", "error")
    assert ran.counts == {"passed": 2, "error": 1}, ran.out
    assert "OSError: cannot close" in ran.out
    assert "PytestUnraisable" not in ran.out
    assert ran.lines == ["older"]


def test_children_of_the_test_inherit(suite: Callable[..., Suite]) -> None:
    """Inheritable handlers of the registry reach the children of the test, forked or spawned."""
    ran = suite(
        test_it="""
            import multiprocessing, os
            import lastout, pytest
            from say import say

            @pytest.mark.parametrize("method", ["fork", "spawn"])
            def test_it(exit_registry, method):
                exit_registry.handler(inherit=True, args=[method])(say)
                exit_registry.register(say, "in the parent only")
                child = multiprocessing.get_context(method).Process(target=os.getpid)
                child.start()
                child.join()
                say("joined")
        """
    ).run()
    assert ran.counts == {"passed": 2}, ran.out
    expected = [[name, "joined", "in the parent only", name] for name in ("fork", "spawn")]
    assert ran.lines == [line for lines in expected for line in lines]


def test_what_lasts_longer_is_not_the_test_s(suite: Callable[..., Suite]) -> None:
    """The scope of the run, joined while a test has its own registry, outlasts that test."""
    ran = suite(
        test_it="""
            import os
            import lastout
            from say import say

            def test_a(exit_registry, request):
                scope = request.getfixturevalue("lastout_run")
                say(scope.directory())
                assert lastout._ncallbacks() == 0

            def test_b(lastout_run):
                [directory] = lastout_run.artifacts()
                assert os.path.isdir(directory)
        """
    ).run()
    assert ran.counts == {"passed": 2}, ran.out


def test_a_scope_for_a_test(suite: Callable[..., Suite], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test makes in `lastout_scope` is gone in the next; what stays is its error."""
    ran = suite(
        test_it="""
            import os
            from say import say

            made = []

            def broken():
                if "HEALED" not in os.environ:
                    raise OSError("cannot remove")

            def test_a(lastout_scope):
                made.append(lastout_scope.directory())
                lastout_scope.popen(["sleep", "600"])

            def test_b(lastout_scope):
                assert not os.path.exists(made[0])
                assert lastout_scope.artifacts() == ()
                lastout_scope.callback(broken).keep()

            def test_c(lastout_scope):
                lastout_scope.callback(broken)
        """
    ).run()
    assert ran.counts == {"passed": 3, "error": 1}, ran.out
    assert "cannot remove" in ran.out
    monkeypatch.setenv("HEALED", "1")
    assert [outcome.status for outcome in lastout.reap()] == ["done"]
