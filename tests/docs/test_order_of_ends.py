"""The table in docs/explanation/ends.md: a program ends in each of these ways."""

from __future__ import annotations

import multiprocessing.popen_fork
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "ends.md"
TABLE = {
    found[1]: (found[2], found[3].split(" · "))
    for line in PAGE.read_text().splitlines()
    if (found := re.match(r"^\| (.+) \| (main|another|none) \| (.+) \|$", line))
}
# From then on the package forgets in its children what their parent gave to `atexit`.
IS_NEW = hasattr(multiprocessing.popen_fork, "atexit")
WAYS = {
    "returning from the program, `sys.exit`, or an exception": ("", ["return", "exit", "raise"]),
    "a handled signal": ("handle_signals()", ["signal"]),
    "a handled signal, with `raise_in_main`": ("handle_signals(raise_in_main=True)", ["signal"]),
    "a signal whose handler was there before, and ends the program": (
        "handle_signals()",
        ["signal whose handler was there"],
    ),
    f"return, in a child of `multiprocessing`, {'from Python 3.13.1' if IS_NEW else 'before'}": (
        "",
        ["child"],
    ),
    "a handled signal, in a child of `multiprocessing`, "
    f"{'from Python 3.13.1' if IS_NEW else 'before'}": ("handle_signals()", ["child, signal"]),
    "`lastout.unwind()`": ("", ["unwind"]),
    "`os._exit`, SIGKILL, a crash": ("", ["_exit", "kill"]),
}

PROGRAM = """
    import atexit, multiprocessing, multiprocessing.popen_fork, multiprocessing.util
    import os, signal, sys, threading, time, warnings
    import lastout
    from say import say

    warnings.simplefilter("ignore", DeprecationWarning)
    way, set_up = sys.argv[1:]
    joined_last = way == "child" and not hasattr(multiprocessing.popen_fork, "atexit")
    at_its_end = threading.current_thread()

    def tell(what):
        say(f"{what} | {'main' if threading.current_thread() is at_its_end else 'another'}")

    def work():
        stop.wait(30)
        # When the main thread has come so far; a signal waits for no thread.
        say("threads joined | main" if waited_for.wait(10) else "nobody waits")

    def build():
        global stop, waited_for, at_its_end
        at_its_end = threading.current_thread()
        stop, waited_for = threading.Event(), threading.Event()
        if "was there" in way:
            signal.signal(signal.SIGTERM, lambda *_: (tell("that handler"), sys.exit()))
        atexit.register(tell, "`atexit` (first)")
        if joined_last:
            lastout.register(waited_for.set)
        lastout.register(tell, "handler")
        if set_up:
            eval("lastout." + set_up)
        # What this script defines nobody else could call when it is dead.
        dies = way in ("_exit", "kill")
        lastout.Scope().callback(len if dies else tell, "scope")
        atexit.register(tell, "`atexit` (second)")
        multiprocessing.util.Finalize(None, tell, args=("multiprocessing",), exitpriority=1)
        threading.Thread(target=work).start()

        @lastout.handler(before_threads=True)
        def before_threads():
            tell("`before_threads`")
            stop.set()
            on_main = "signal" not in way or "raise" in set_up or "was there" in way
            if on_main and not joined_last and way != "unwind":
                waited_for.set()

    def end():
        build()
        if "signal" in way:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                time.sleep(0.01)

    if __name__ == "__main__":
        if "child" in way:
            process = multiprocessing.get_context("fork").Process(target=end)
            process.start()
            process.join()
            sys.exit()
        try:
            end()
        finally:
            if "raise" in set_up:
                tell("`finally`")
        if way == "unwind":
            lastout.unwind()
            os._exit(0)
        elif way == "_exit":
            os._exit(0)
        elif way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif way == "exit":
            sys.exit()
        elif way == "raise":
            raise ValueError("for this test")
"""


def test_each_row_is_tried() -> None:
    """No way to end stands on the page that is not tried, on one Python or another."""
    other = {row for row in TABLE if row.endswith("before" if IS_NEW else "from Python 3.13.1")}
    assert WAYS.keys() == TABLE.keys() - other
    assert len(other) == 2


@pytest.mark.parametrize(
    ("row", "way"), [(row, way) for row, (_, ways) in WAYS.items() for way in ways]
)
def test_the_order_of_an_end(program: Callable[..., Program], row: str, way: str) -> None:
    """It is as the page says, and on that thread."""
    set_up, _ = WAYS[row]
    thread, steps = TABLE[row]
    child = program(PROGRAM, args=[way, set_up])
    ended = child.end(60)
    assert ("Traceback" in ended.err) == (way == "raise"), ended.err
    if "signal" in way and "child" not in way and "was there" not in way:
        assert ended.status == -signal.SIGTERM
    expected = [] if thread == "none" else [f"{step} | {thread}" for step in steps]
    assert child.lines == expected
    if way in ("_exit", "kill"):
        [report] = [outcome.name for outcome in lastout.reap()]
        assert "callback" in report
