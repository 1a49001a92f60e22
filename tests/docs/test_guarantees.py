"""The table of docs/explanation/guarantees.md: each row is tried, so it cannot lie."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "guarantees.md"
ROW = re.compile(r"^\| (.+?) \| (handlers run|lost) \| (handlers run|lost) \|", re.MULTILINE)
ROWS = {row[1]: (row[2], row[3]) for row in ROW.finditer(PAGE.read_text())}

# What stands around each of the scripts below.
FRAME = """
import os, signal, sys, time
import lastout
from say import say

def begin():
    if {handled}:
        lastout.handle_signals()
    lastout.register(say, "handler ran")

def wait_for_death():
    say("ready")
    while True:
        # Not `pause()`: a signal that comes just before it would be slept on for ever.
        time.sleep(0.05)

if __name__ == "__main__":
{script}
"""

CHILD = """
from {package} import get_context
child = get_context("{method}").Process(target=begin)
child.start()
child.join()
"""

ENDS = {
    "returning from the program": "begin()",
    "`sys.exit`": "begin(); sys.exit(3)",
    "an uncaught exception": "begin(); raise ValueError",
    "SIGINT (Ctrl-C)": "begin(); wait_for_death()",
    "SIGTERM": "begin(); wait_for_death()",
    "SIGHUP": "begin(); wait_for_death()",
    "SIGKILL": "begin(); wait_for_death()",
    "`os._exit`": "begin(); os._exit(0)",
    "`os.execv`": "begin(); os.execv(sys.executable, [sys.executable, '-c', ''])",
    "`os.abort`": "begin(); os.abort()",
    "a segmentation fault": "begin(); import ctypes; ctypes.string_at(0)",
    "return, in a child by `os.fork`": """
        if pid := os.fork():
            os.waitpid(pid, 0)
        else:
            begin()
        """,
    "return, in a child of `multiprocessing` by fork": CHILD.format(
        package="multiprocessing", method="fork"
    ),
    "return, in a child of `multiprocessing` by forkserver": CHILD.format(
        package="multiprocessing", method="forkserver"
    ),
    "return, in a child of `multiprocessing` by spawn": CHILD.format(
        package="multiprocessing", method="spawn"
    ),
    "return, in a child of `multiprocess` by fork": CHILD.format(
        package="multiprocess", method="fork"
    ),
    "`Process.terminate()`, in a child by fork": """
        from multiprocessing import get_context
        fork = get_context("fork")
        ready = fork.Event()
        def work():
            begin()
            ready.set()
            signal.pause()
        child = fork.Process(target=work)
        child.start()
        ready.wait()
        child.terminate()
        child.join()
        """,
    "the end of its subinterpreter": """
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
        else:
            import _xxsubinterpreters as interpreters
        one = interpreters.create()
        interpreters.run_string(one, f"import sys; sys.path[:0] = {sys.path!r}")
        register = "import lastout, say; lastout.register(say.say, 'handler ran')"
        interpreters.run_string(one, register)
        interpreters.destroy(one)
        """,
}
SENT = {
    "SIGINT (Ctrl-C)": signal.SIGINT,
    "SIGTERM": signal.SIGTERM,
    "SIGHUP": signal.SIGHUP,
    "SIGKILL": signal.SIGKILL,
}


each_import = pytest.mark.parametrize(
    "lazily",
    [
        pytest.param(False, id="eager"),
        pytest.param(
            True,
            id="lazy",
            marks=pytest.mark.skipif(sys.version_info < (3, 15), reason="PEP 810 is of 3.15"),
        ),
    ],
)


def test_each_row_has_a_program() -> None:
    """The table and the programs of this test name the same events."""
    assert sorted(ROWS) == sorted(ENDS)


@pytest.mark.parametrize("handled", [False, True], ids=["plain", "handle_signals"])
@pytest.mark.parametrize("event", ENDS)
@each_import
def test_a_row_is_true(
    event: str, handled: bool, lazily: bool, program: Callable[..., Program]
) -> None:
    """A process that ends by the event runs its handler once, or loses it, as the table says."""
    script = "\n".join(f"    {line}" for line in dedent(ENDS[event]).splitlines())
    child = program(FRAME.format(handled=handled, script=script), lazily=lazily)
    if event in SENT:
        child.wait_for("ready")
        child.signal(SENT[event])
    child.end()
    assert child.lines.count("handler ran") == (ROWS[event][handled] == "handlers run"), child.lines


NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_every_named_proof_is_there() -> None:
    """Each test that the page names exists."""
    for name, test in NAMED.findall(PAGE.read_text()):
        texts = [path.read_text() for path in PAGE.parents[2].glob(f"tests/**/{name}")]
        assert any(f"def {test}(" in text for text in texts), f"there is no {name}::{test}"
