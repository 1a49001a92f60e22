"""What `handle_signals` loads: little, and in the workers of a pool nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.scripts import FAMILY, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_forked_worker_loads_nothing(program: Start, package: str) -> None:
    """All that a worker needs its parent has loaded: the one who names `handle_signals`."""
    child = program(
        FAMILY
        + """
    def initialize(handle_signals):
        before = set(sys.modules)
        handle_signals()
        say("loaded", sorted(set(sys.modules) - before))

    if __name__ == "__main__":
        context = importlib.import_module(sys.argv[1]).get_context("fork")
        pool = context.Pool(1, initialize, (lastout.handle_signals,))
        pool.map(abs, range(2))  # not of this script: dill cannot, on 3.15
        pool.close()
        pool.join()
    """,
        args=[package],
        lazily=False,  # what is lazy a worker loads for itself
    )
    end = child.end(seconds=30)
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["loaded []"]


def test_nothing_slow_is_loaded(program: Start) -> None:
    """Neither `ctypes`, of which only the half in C is needed, nor what only scopes need."""
    child = program(
        "import sys, lastout; lastout.handle_signals(); print(*sys.modules)", isolated=True
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert {"_ctypes", "signal"} <= set(ended.out.split())
    assert {"ctypes", "filelock", "logging"} & set(ended.out.split()) == set()


def test_a_python_without_ctypes(program: Start) -> None:
    """Where there is none the name is there, and the call says so and changes nothing."""
    child = program(
        """
        import signal, sys
        sys.modules["_ctypes"] = None
        import lastout
        from lastout import handle_signals

        try:
            handle_signals()
        except ImportError as error:
            print(error.name, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        """
    )
    assert child.end() == (0, "_ctypes True\n", "")
