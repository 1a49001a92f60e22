"""asyncio: exit handlers that are coroutines, on their loop, before it closes."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout.errors import HandlerTimeout
from lastout.integrations import asyncio as exits

if TYPE_CHECKING:
    import sys
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


@pytest.fixture(autouse=True)
def nothing_registered():
    """No test leaves an exit handler of the process behind."""
    before = lastout._ncallbacks()
    yield
    assert lastout._ncallbacks() == before


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was shown through `sys.unraisablehook`."""
    found: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: found.append(args.exc_value))
    return found


class Log(list):
    """Says what ran, by coroutines and functions."""

    async def slowly(self, word: str) -> None:
        await asyncio.sleep(0)
        self.append(word)

    async def fail(self, error: BaseException) -> None:
        await asyncio.sleep(0)
        raise error

    async def hang(self, word: str) -> None:
        self.append(word)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.append(f"{word} cancelled")
            raise


# When they run.


def test_before_the_loop_closes() -> None:
    """Last in, first out, when other tasks are cancelled; the loop and its threads still work."""
    log = Log()

    async def use_everything() -> None:
        await asyncio.to_thread(log.append, "thread")
        log.append(asyncio.get_running_loop().is_running())

    async def main() -> None:
        task = asyncio.create_task(log.hang("task"))
        exits.register(log.append, "function")
        exits.register(log.slowly, word="coroutine")
        exits.register(use_everything)
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(main())
    assert log == ["task", "task cancelled", "thread", True, "coroutine", "function"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_after_a_main_that_raises(error: type[BaseException]) -> None:
    """However the main coroutine ends, they run, and its exception comes out."""
    log = Log()

    async def main() -> None:
        exits.register(log.slowly, "ran")
        raise error

    with pytest.raises(error):
        asyncio.run(main())
    assert log == ["ran"]


def test_a_runner() -> None:
    """A runner that runs several coroutines runs the handlers of all when it is closed."""
    log = Log()

    async def main(word: str) -> None:
        exits.register(log.slowly, word)

    with asyncio.Runner() as runner:
        runner.run(main("first"))
        runner.run(main("second"))
        assert log == []
    assert log == ["second", "first"]


def test_a_loop_closed_by_hand() -> None:
    """A loop that is closed as the documentation of asyncio asks for runs them."""
    log = Log()

    async def main() -> None:
        exits.register(log.slowly, "ran")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert log == ["ran"]


def test_each_loop_has_its_own() -> None:
    """The handlers of one loop do not run with another's."""
    log = Log()

    async def inner() -> None:
        exits.register(log.slowly, "inner")

    async def main() -> None:
        exits.register(log.slowly, "outer")
        await asyncio.to_thread(asyncio.run, inner())
        assert log == ["inner"]

    asyncio.run(main())
    assert log == ["inner", "outer"]


# What each does.


@pytest.mark.parametrize("error", [ValueError(), SystemExit(3), asyncio.CancelledError()])
def test_one_that_fails(shown: list[object], error: BaseException) -> None:
    """One that raises, whatever it raises, is shown and does not stop the rest."""
    log = Log()

    async def main() -> None:
        exits.register(log.slowly, "last")
        exits.register(log.fail, error)
        exits.register(log.slowly, "first")

    asyncio.run(main())
    assert log == ["first", "last"]
    assert [type(one) for one in shown] == [type(error)]


def test_showing_waits_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is shown after the last handler; what the hook registers then is run too."""
    log = Log()

    def hook(args: sys.UnraisableHookArgs) -> None:
        log.append("shown")
        exits.register(log.slowly, "late")

    async def main() -> None:
        exits.register(log.slowly, "last")
        exits.register(log.fail, KeyError("k"))

    monkeypatch.setattr("sys.unraisablehook", hook)
    asyncio.run(main())
    assert log == ["last", "shown", "late"]


def test_showing_waits_for_the_process(program: Start) -> None:
    """Where the process ends before its loop, a failure is shown after the process's handlers."""
    child = program(
        """
        import asyncio, sys, lastout
        from lastout.integrations import asyncio as exits
        from say import say
        sys.unraisablehook = lambda args: say("shown")
        async def fails():
            raise KeyError
        async def main():
            exits.register(fails)
        lastout.register(say, "below")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        """
    )
    child.end()
    assert child.lines == ["below", "shown"]


def test_one_that_hangs(shown: list[object]) -> None:
    """One with a time limit is cancelled when that is over, and reported."""
    log = Log()

    async def main() -> None:
        exits.register(log.slowly, "last")
        exits.handler(timeout=0.05, args=("hanging",))(log.hang)

    asyncio.run(main())
    assert log == ["hanging", "hanging cancelled", "last"]
    assert [type(one) for one in shown] == [HandlerTimeout]


def test_one_that_will_not_be_cancelled(shown: list[object]) -> None:
    """One that ignores its being cancelled is left behind."""
    log = Log()

    async def stubborn() -> None:
        while len(log) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                log.append("no")

    async def main() -> None:
        exits.register(log.slowly, "last")
        exits.handler(timeout=0.02)(stubborn)

    asyncio.run(main())
    assert log == ["no", "last"]
    assert [type(one) for one in shown] == [HandlerTimeout]


def test_one_that_registers_another() -> None:
    """What is registered by a handler is run too, and next."""
    log = Log()

    async def parent() -> None:
        exits.register(log.slowly, "child")

    async def main() -> None:
        exits.register(log.slowly, "last")
        exits.register(parent)

    asyncio.run(main())
    assert log == ["child", "last"]


def test_by_decoration_and_back() -> None:
    """Registered as a decorator; `unregister` takes every occurrence away, and is silent."""
    log = Log()

    async def main() -> None:
        exits.unregister(log.slowly)

        @exits.register
        async def kept() -> None:
            log.append("kept")

        exits.register(log.slowly, "one")
        exits.register(log.slowly, "two")
        exits.unregister(log.slowly)
        exits.unregister(print)
        assert (await exits.unwind()).ok
        assert log == ["kept"]
        await kept()

    asyncio.run(main())
    assert log == ["kept", "kept"]


# By hand.


def test_unwinding_now(shown: list[object]) -> None:
    """`unwind` runs all, says what happened, and shares out its time."""
    log = Log()

    async def main() -> None:
        exits.register(log.slowly, "last")
        exits.register(log.hang, "hanging")
        exits.register(log.fail, KeyError("k"))
        report = await exits.unwind(timeout=0.2)
        assert [outcome.status for outcome in report] == ["failed", "timed out", "done"]
        assert report.seconds < 0.4
        exits.register(log.slowly, "again")

    asyncio.run(main())
    assert log == ["hanging", "hanging cancelled", "last", "again"]
    assert len(shown) == 2


def test_unwinding_within_a_handler_and_beside_it() -> None:
    """A handler may run the rest; another task waits for its turn, within its time."""
    log = Log()

    async def run_rest() -> None:
        beside = await asyncio.create_task(late_comer())
        log.append([outcome.status for outcome in beside])
        log.append([outcome.status for outcome in await exits.unwind()])

    async def late_comer() -> lastout.Report:
        return await asyncio.create_task(exits.unwind(0.05), context=outside)

    async def main() -> None:
        nonlocal outside
        from contextvars import copy_context

        outside = copy_context()
        exits.register(log.slowly, "last")
        exits.register(run_rest)
        assert (await exits.unwind()).ok

    outside = None
    asyncio.run(main())
    assert log == [["timed out"], "last", ["done"]]


def test_giving_up() -> None:
    """Whoever cancels `unwind` cancels the running handler; the rest stays for the loop's end."""
    log = Log()

    async def main() -> None:
        exits.register(log.slowly, "last")
        exits.register(log.hang, "hanging")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(exits.unwind(), 0.05)
        assert log == ["hanging", "hanging cancelled"]

    asyncio.run(main())
    assert log[2:] == ["last"]


# Mistakes.


def test_without_a_loop() -> None:
    """There is a clear error where no loop runs."""
    with pytest.raises(lastout.UsageError, match="no event loop"):
        exits.register(print)
    with pytest.raises(lastout.UsageError, match="no event loop"):
        exits.unregister(print)


def test_what_cannot_be_registered() -> None:
    """Something not callable, a coroutine included, and a bad timeout are refused at once."""

    async def main() -> None:
        for refused in (5, None):
            with pytest.raises(TypeError):
                exits.register(refused)  # type: ignore[arg-type]
        coroutine = asyncio.sleep(0)
        with pytest.raises(TypeError):
            exits.register(coroutine)  # type: ignore[arg-type]
        coroutine.close()
        with pytest.raises(lastout.UsageError):
            exits.handler(timeout=-1)
        with pytest.raises(lastout.UsageError):
            await exits.unwind(-1)

    asyncio.run(main())


def test_too_late() -> None:
    """A loop whose handlers have run takes no more, and says so."""

    async def left_open():
        try:
            yield
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            with pytest.raises(lastout.UsageError, match="about to close"):
                exits.register(print)
            caught.append(True)

    async def main() -> None:
        nonlocal generator
        exits.register(asyncio.sleep, 0)
        generator = left_open()
        await anext(generator)

    caught: list[bool] = []
    generator = None
    asyncio.run(main())
    assert caught == [True]


# The end of the process, and signals.

HEAD = """
    import asyncio, os, signal, sys, threading, time
    import lastout
    from lastout.integrations import asyncio as exits
    from say import say

    async def bye(word):
        await asyncio.sleep(0)
        say(word)
"""


def test_a_loop_that_nobody_closed(program: Start) -> None:
    """At the end of the process, a loop that is still open runs its handlers."""
    child = program(
        HEAD
        + """
    async def main():
        exits.register(bye, "coroutine")
    lastout.register(say, "before it")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    lastout.register(say, "after it")
    """
    )
    assert child.end().status == 0
    assert child.lines == ["after it", "coroutine", "before it"]


def test_a_loop_that_was_closed_too_soon(program: Start) -> None:
    """A loop closed without ending its generators loses its handlers, and they are named."""
    child = program(
        HEAD
        + """
    async def main():
        exits.register(bye, "coroutine")
    lastout.register(say, "function")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    """
    )
    end = child.end()
    assert child.lines == ["function"]
    assert "not run: __main__.bye" in end.err
    assert "shutdown_asyncgens" in end.err


def test_a_loop_on_a_thread(program: Start) -> None:
    """A loop that still runs on another thread at the end of the process runs them there."""
    child = program(
        HEAD
        + """
    async def main():
        exits.register(bye, "coroutine")
        ready.set()
        await asyncio.sleep(60)
    ready = threading.Event()
    threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
    ready.wait()
    """
    )
    assert child.end().status == 0
    assert child.lines == ["coroutine"]


@pytest.mark.parametrize("raising", [False, True])
def test_a_signal(program: Start, raising: bool) -> None:
    """A handled signal runs them on the running loop, and the process dies of the signal."""
    child = program(
        HEAD
        + f"""
    async def main():
        lastout.register(say, "function")
        exits.register(bye, "first in")
        exits.register(bye, "last in")
        say("ready")
        await asyncio.sleep(60)
    lastout.handle_signals(raise_in_main={raising})
    asyncio.run(main())
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end(seconds=20)
    assert (end.status, end.err) == (-signal.SIGTERM, "")
    assert child.lines == ["ready", "last in", "first in", "function"]


def test_a_signal_to_a_busy_loop(program: Start) -> None:
    """A loop that is busy does not keep the process from its end; what did not run is named."""
    child = program(
        HEAD
        + """
    exits._ANSWER_SECONDS = 0.2
    async def main():
        lastout.register(say, "function")
        exits.register(bye, "coroutine")
        say("ready")
        time.sleep(60)
    lastout.handle_signals()
    asyncio.run(main())
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    end = child.end(seconds=20)
    assert end.status == -signal.SIGTERM
    assert child.lines == ["ready", "function"]
    assert "__main__.bye" in end.err


def test_ctrl_c_cancels_the_main_coroutine_before_handlers_run(program: Start) -> None:
    """Ctrl-C cancels the main coroutine, as asyncio does it, and then they run."""
    child = program(
        HEAD
        + """
    async def main():
        exits.register(bye, "coroutine")
        say("ready")
        try:
            while True:  # Python sees a signal that came just before it waits only afterwards
                await asyncio.sleep(0.1)
        finally:
            say("cancelled")
    asyncio.run(main())
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGINT)
    assert child.end().status == -signal.SIGINT
    assert child.lines == ["ready", "cancelled", "coroutine"]


def test_the_process_is_unwound_by_a_coroutine(program: Start) -> None:
    """`lastout.unwind` in a coroutine cannot wait for its own loop: that runs them at its end."""
    child = program(
        HEAD
        + """
    async def main():
        lastout.register(say, "function")
        exits.register(bye, "coroutine")
        lastout.unwind()
        say("unwound")
    asyncio.run(main())
    """
    )
    assert child.end(seconds=10) == (0, "", "")
    assert child.lines == ["function", "unwound", "coroutine"]


def test_a_forked_child(program: Start) -> None:
    """A child forked by a coroutine runs none of its parent's, and may have a loop of its own."""
    child = program(
        HEAD
        + """
    import multiprocessing, warnings
    warnings.simplefilter("ignore", DeprecationWarning)

    def live():
        async def main():
            exits.register(bye, f"child {os.getpid() != parent}")
        asyncio.run(main())

    async def main():
        exits.register(bye, f"parent {os.getpid() == parent}")
        process = multiprocessing.get_context("fork").Process(target=live)
        process.start()
        await asyncio.to_thread(process.join)
        say(process.exitcode)

    parent = os.getpid()
    asyncio.run(main())
    """
    )
    end = child.end()
    assert end.status == 0, end.err
    assert child.lines == ["child True", "0", "parent True"]


def test_a_forked_child_with_its_parent_s_loop(program: Start) -> None:
    """A child that goes on with its parent's loop runs what it registered itself, no more."""
    child = program(
        HEAD
        + """
    async def main(word):
        exits.register(bye, word)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main("parent"))
    if pid := os.fork():
        say(os.waitpid(pid, 0)[1])
    else:
        loop.run_until_complete(main("child"))
    loop.run_until_complete(loop.shutdown_asyncgens())
    if not pid:
        os._exit(0)
    loop.close()
    """
    )
    end = child.end()
    assert end.status == 0, end.err
    assert child.lines == ["child", "0", "parent"]


def test_the_loop_s_own_signal_handlers(program: Start) -> None:
    """A loop that handles SIGTERM itself, and ends, runs everything in the usual way."""
    child = program(
        HEAD
        + """
    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        exits.register(bye, "coroutine")
        say("ready")
        await stop.wait()
        say("stopped")
    lastout.register(say, "function")
    lastout.handle_signals(signal.SIGHUP)
    asyncio.run(main())
    """
    )
    child.wait_for("ready")
    child.signal(signal.SIGTERM)
    assert child.end(seconds=10) == (0, "", "")
    assert child.lines == ["ready", "stopped", "coroutine", "function"]


def test_a_loop_that_was_closed_before_a_handler_went(program: Start) -> None:
    """A loop that is closed while the end of the process waits for it is named as well."""
    child = program(
        HEAD
        + """
    import threading

    async def main():
        exits.register(bye, "coroutine")
        running.set()
        await asyncio.Event().wait()

    def work():
        task = loop.create_task(main())
        loop.call_later(60, task.cancel)
        try:
            loop.run_forever()
        finally:
            task._log_destroy_pending = False
            loop.close()

    lastout.register(say, "function")
    loop, running = asyncio.new_event_loop(), threading.Event()
    threading.Thread(target=work, daemon=True).start()
    running.wait()
    # What is called first at the end is asked to stop the loop, before it unwinds.
    loop.call_soon_threadsafe(loop.stop)
    lastout.unwind()
    """
    )
    end = child.end()
    assert child.lines[-1] == "function"
    assert "not run: __main__.bye" in end.err


def test_a_slow_one_on_a_thread(program: Start) -> None:
    """The end of the process waits for a coroutine on another thread, as long as that goes on."""
    child = program(
        HEAD
        + """
    async def slow():
        await asyncio.sleep(0.3)
        say("slow")
    async def main():
        exits.register(slow)
        ready.set()
        await asyncio.sleep(60)
    ready = threading.Event()
    threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
    ready.wait()
    """
    )
    assert child.end().status == 0
    assert child.lines == ["slow"]


def test_nothing_is_left_at_the_end(program: Start) -> None:
    """A loop that nobody closed, and whose handlers were all taken back, ends nothing."""
    child = program(
        HEAD
        + """
    async def main():
        exits.register(bye, "taken back")
        exits.unregister(bye)
    lastout.register(say, "function")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    """
    )
    assert child.end() == (0, "", "")
    assert child.lines == ["function"]
