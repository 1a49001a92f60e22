"""Showing: a failure is shown when the last handler has run, once, as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import lastout
from lastout._exits import unwinding
from lastout._exits.stack import HandlerStack
from lastout.deadline import Deadline
from support.stacks import WAIT, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from support.program import Program

    Start = Callable[..., Program]


class Told(HandlerStack):
    """A stack whose log tells what ran and what was shown, in one order."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[object] = []

    def do(self, *funcs: Callable[[], object]) -> None:
        for func in funcs:
            self.push((func, (), {}))

    def say(self, token: object) -> Callable[[], object]:
        return lambda: self.log.append(token)

    def tell(self, error: BaseException, _: object, __: TracebackType | None) -> None:
        self.log.append(type(error).__name__)

    def run(self) -> int:
        return len(self.unwind(Deadline(), self.tell))


@pytest.fixture
def told() -> Told:
    """An empty stack with a log."""
    return Told()


def divide() -> None:
    """Fail."""
    raise ZeroDivisionError


def look_up() -> None:
    """Fail in another way."""
    raise LookupError


def test_after_the_last_handler(told: Told) -> None:
    """What fails is shown after the last handler, in the order in which it failed."""
    told.do(told.say("bottom"), look_up, told.say("middle"), divide)
    told.run()
    assert told.log == ["middle", "bottom", "ZeroDivisionError", "LookupError"]


def test_nothing_is_loaded_between_two_handlers(program: Start) -> None:
    """Between one that fails and the next no module is loaded, and no hook is called."""
    child = program(
        """
        import sys, lastout
        from say import say
        sys.unraisablehook = lambda unraisable: (say("shown"), sys.__unraisablehook__(unraisable))
        loaded = []
        lastout.register(lambda: say(sorted(set(sys.modules).difference(*loaded))))
        lastout.register(lambda: 1 / 0)
        lastout.register(lambda: loaded.append(set(sys.modules)))
        say(lastout.unwind().failed[0].failure.exception)
        """,
        isolated=True,
    )
    ended = child.end()
    assert child.lines == ["[]", "shown", "division by zero"], ended.err
    assert "ZeroDivisionError: division by zero" in ended.err


def test_with_the_traceback_that_it_had(told: Told) -> None:
    """An exception that a second handler raises again is shown twice, each time as it was then."""
    depths: list[int] = []
    error = ValueError("the same")

    def show(_: BaseException, __: object, traceback: TracebackType | None) -> None:
        depths.append(0)
        while traceback is not None:
            traceback, depths[-1] = traceback.tb_next, depths[-1] + 1

    def again() -> None:
        raise error

    told.do(again, again)
    first, second = told.unwind(Deadline(), show)
    assert depths[0] < depths[1]
    assert first.failure is not None
    assert second.failure is not None
    assert len(first.failure.traceback) < len(second.failure.traceback)


def test_of_a_nested_unwinding(told: Told) -> None:
    """What fails in an unwinding that a handler began is shown by the outermost one."""

    def nested() -> None:
        told.run()
        told.log.append("goes on")

    told.do(look_up, divide, nested)
    told.run()
    assert told.log == ["goes on", "ZeroDivisionError", "LookupError"]


def test_a_hook_that_registers(told: Told) -> None:
    """A handler that is registered while failures are shown runs, and is reported and shown too."""

    def show(error: BaseException, func: object, traceback: TracebackType | None) -> None:
        told.tell(error, func, traceback)
        if isinstance(error, ZeroDivisionError):
            told.do(told.say("late"), look_up)

    told.do(divide)
    assert [outcome.status for outcome in told.unwind(Deadline(), show)] == [
        "failed",
        "failed",
        "done",
    ]
    assert told.log == ["ZeroDivisionError", "late", "LookupError"]


def test_a_hook_that_registers_without_end(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that registers a handler that fails, again and again, comes to an end."""
    monkeypatch.setattr(unwinding, "_ENDLESS", 5)

    def show(error: BaseException, func: object, traceback: TracebackType | None) -> None:
        told.tell(error, func, traceback)
        told.do(divide)

    told.do(divide)
    told.unwind(Deadline(), show)
    assert told.log == [*["ZeroDivisionError"] * 6, "RuntimeError", "ZeroDivisionError"]
    assert len(told) == 0


def test_what_others_have_to_show(told: Told) -> None:
    """A failure that any thread tells of waits for the handlers that run, or is shown at once."""
    told.show(LookupError(), None, None, told.tell)
    assert told.log == ["LookupError"]

    def another_thread() -> None:
        in_thread(lambda: told.show(ZeroDivisionError(), None, None, told.tell)).join(WAIT)

    told.do(told.say("below"), another_thread)
    told.run()
    assert told.log == ["LookupError", "below", "ZeroDivisionError"]


def test_interrupted(told: Told) -> None:
    """Ctrl-C while a failure is shown is shown too, and so are the rest."""
    pending = [KeyboardInterrupt()]

    def show(error: BaseException, func: object, traceback: TracebackType | None) -> None:
        told.tell(error, func, traceback)
        if pending:
            raise pending.pop()

    told.do(look_up, divide)
    assert len(told.unwind(Deadline(), show)) == 2
    assert told.log == ["ZeroDivisionError", "LookupError", "KeyboardInterrupt"]


def test_a_fork_in_a_handler(program: Start) -> None:
    """A child that a handler forks shows what fails in it, and nothing of its parent's."""
    child = program(
        """
        import os, sys, lastout
        from say import say
        me, found = os.getpid(), []
        sys.unraisablehook = lambda unraisable: found.append(unraisable.exc_type.__name__)
        def fork():
            if (pid := os.fork()) == 0:
                raise LookupError
            os.waitpid(pid, 0)
        lastout.register(fork)
        lastout.register(lambda: 1 / 0)
        lastout.unwind()
        say(os.getpid() == me, found)
        """
    )
    assert child.end().status == 0
    assert child.lines == ["False ['LookupError']", "True ['ZeroDivisionError']"]


def test_where_stderr_was_closed(program: Start) -> None:
    """Where a later handler closes what sys.stderr is, a failure goes to the process's own."""
    child = program(
        """
        import os, sys, lastout
        from say import say
        sys.stderr = open(os.devnull, "w")
        lastout.register(lambda: say(sys.stderr.closed))
        lastout.register(sys.stderr.close)
        lastout.register(lambda: 1 / 0)
        """
    )
    ended = child.end()
    assert child.lines == ["True"]
    assert "ZeroDivisionError" in ended.err


def test_the_time_for_all_is_not_spent(program: Start) -> None:
    """A hook that takes its time takes none of the handlers', and the report counts it."""
    child = program(
        """
        import sys, time, lastout
        from say import say
        sys.unraisablehook = lambda unraisable: time.sleep(0.5)
        lastout.register(time.sleep, 0.01)
        lastout.register(lambda: 1 / 0)
        report = lastout.unwind(timeout=0.4)
        say([o.status for o in report], report.seconds >= 0.5)
        say(sum(o.seconds for o in report) < 0.4)
        """
    )
    assert child.end().status == 0
    assert child.lines == ["['failed', 'done'] True", "True"]


def test_on_a_signal(program: Start) -> None:
    """Where a signal ends the process, failures are shown before it dies of it."""
    child = program(
        """
        import lastout, signal
        from say import say
        lastout.handle_signals()
        lastout.register(say, "below")
        lastout.register(lambda: 1 / 0)
        say("ready")
        while True:
            signal.pause()
        """
    )
    child.wait_for("ready")
    child.signal(15)
    ended = child.end()
    assert ended.status == -15
    assert child.lines == ["ready", "below"]
    assert ended.err.count("ZeroDivisionError") == 1


def test_failures_of_a_scope(program: Start, tmp_path: Path) -> None:
    """What fails when the process leaves a scope is shown after the handlers below, too."""
    mended = tmp_path / "mended"
    child = program(
        f"""
        import sys, lastout
        from say import say
        sys.unraisablehook = lambda unraisable: say(unraisable.exc_type.__name__)
        lastout.register(say, "below")
        scope = lastout.Scope().__enter__()
        scope.command(["test", "-e", {str(mended)!r}])
        """
    )
    assert child.end().status == 0
    assert child.lines == ["below", "CleanupFailed"]
    mended.touch()
    assert lastout.reap().ok
