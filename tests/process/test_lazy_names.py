"""Pickling functions whose globals hold names that were imported lazily and not used yet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

lazy = pytest.mark.skipif(sys.version_info < (3, 15), reason="PEP 810 came with Python 3.15")

# Its globals hold a module, a function and a class that were not used yet when it is pickled.
UNUSED = """
    import json
    import os
    import signal
    import sys
    import lastout
    from decimal import Decimal
    from os.path import basename
    from say import say

    def told(word):
        say(word, json.dumps([1]), Decimal("0.5"), basename("/a/b"))
"""


@lazy
def test_callback_with_unused_lazy_names(program: Start) -> None:
    """A callback that uses names nobody has used yet is called in another process, and has them."""
    child = program(
        UNUSED
        + """
    if __name__ == "__main__":
        if pid := os.fork():
            os.waitpid(pid, 0)
            say("reaped", lastout.reap().ok)
        else:
            scope = lastout.Scope("lazy")
            scope.callback(told, "called")
            os.kill(os.getpid(), signal.SIGKILL)
    """,
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["called [1] 0.5 b", "reaped True"]


@lazy
def test_a_lock_that_was_imported_lazily_is_not_copied(program: Start) -> None:
    """What refuses to pickle locks refuses one that the globals name by a lazy import too."""
    child = program(
        """
        from locks import lock
        from say import say
        from lastout import pickling

        def locked():
            with lock:
                return 1

        try:
            pickling.dumps(locked, strictly=True)
        except TypeError as error:
            say(error)
        """,
        modules={"locks": "import threading\nlock = threading.Lock()\n"},
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["cannot pickle '_thread.lock': a copy would not be the same one"]


@lazy
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_inheritable_handler_with_unused_lazy_names(program: Start, method: str) -> None:
    """An inheritable handler that can only be pickled by value has them in the child too."""
    child = program(
        UNUSED
        + """
    import multiprocessing

    if __name__ == "__main__":
        lastout.handler(inherit=True)(lambda: told("inherited"))
        child = multiprocessing.get_context(sys.argv[1]).Process(target=say, args=("worked",))
        child.start()
        child.join()
        say("status", child.exitcode)
    """,
        args=[method],
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    told = "inherited [1] 0.5 b"
    assert child.lines == ["worked", told, "status 0", told]


@lazy
def test_callback_with_a_name_that_cannot_be_imported(program: Start) -> None:
    """It is refused by an error that names the module, and nothing is recorded."""
    child = program(
        """
        import missing_module
        import lastout
        from say import say

        def cleanup():
            missing_module.clean()

        with lastout.Scope() as scope:
            try:
                scope.callback(cleanup)
            except lastout.UsageError as error:
                say(error)
            say(len(scope.artifacts()))
        """,
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    refused, recorded = child.lines
    assert "No module named 'missing_module'" in refused
    assert recorded == "0"


@lazy
def test_inheritable_handler_with_a_name_that_cannot_be_imported(program: Start) -> None:
    """The child goes on without it, and a warning names the module."""
    child = program(
        """
        import multiprocessing
        import missing_module
        import lastout
        from say import say

        if __name__ == "__main__":
            handler = lambda: missing_module.clean()
            lastout.handler(inherit=True)(handler)
            child = multiprocessing.get_context("spawn").Process(target=say, args=("worked",))
            child.start()
            child.join()
            say("status", child.exitcode)
            lastout.unregister(handler)
        """,
        lazily=True,
    )
    end = child.end()
    assert end.status == 0
    assert child.lines == ["worked", "status 0"]
    assert "RuntimeWarning" in end.err
    assert "missing_module" in end.err
