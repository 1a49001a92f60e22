"""The frame: what an import costs, and what the package says of itself."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

SLOW = (
    "asyncio",
    "collections",
    "concurrent.futures",
    "ctypes",
    "dataclasses",
    "dill",
    "filelock",
    "functools",
    "inspect",
    "logging",
    "multiprocess",
    "multiprocessing",
    "re",
    "tempfile",
    "threading",
    "traceback",
    "typing",
)


USES = ("lastout", "lastout.register")


@pytest.mark.parametrize("use", USES)
def test_importing_lastout_loads_nothing_slow(program: Callable[..., Program], use: str) -> None:
    """Neither `import lastout` nor the first use of `register` loads a slow module of anybody."""
    child = program(f"import sys, lastout; {use}; print(*sys.modules)", isolated=True)
    ended = child.end()
    assert ended.status == 0, ended.err
    assert sorted(set(SLOW) & set(ended.out.split())) == []


def test_importing_lastout_loads_names(program: Callable[..., Program]) -> None:
    """`import lastout` alone loads no exit handlers."""
    child = program("import sys, lastout; print(*sys.modules)", isolated=True)
    loaded = child.end().out.split()
    assert [name for name in loaded if name.startswith(("lastout._exits", "lastout.report"))] == []


def test_exit_handlers_come_whole(program: Callable[..., Program]) -> None:
    """The first use of `register` loads all that handlers take, here and in a forked child."""
    child = program(
        """
        import os, sys
        import lastout
        from say import say

        def ours():
            return sorted(name for name in sys.modules if name.startswith("lastout"))

        def check():
            say(*set(ours()) - set(loaded))

        register = lastout.register
        loaded = ours()
        sys.path_importer_cache.clear()
        sys.path_hooks.clear()  # from here on nothing of ours can be loaded
        register(check)
        if not os.fork():
            register(check)
            lastout.unwind()
            os._exit(0)
        os.wait()
        register(lambda: 1 / 0)
        """
    )
    end = child.end()
    assert (end.status, child.lines) == (0, ["", ""])
    assert "ZeroDivisionError" in end.err


@pytest.mark.parametrize("use", USES)
def test_importing_lastout_installs_nothing(program: Callable[..., Program], use: str) -> None:
    """Importing alone starts no thread, sets no signal handler and no exit handler."""
    child = program(
        f"""
        import atexit, signal, sys

        def state():
            handlers = [signal.getsignal(number) for number in signal.valid_signals()]
            hooks = sys.excepthook, sys.unraisablehook, list(sys.meta_path)
            return atexit._ncallbacks(), handlers, hooks, len(sys._current_frames())

        before = state()
        import lastout
        {use}
        assert state() == before, (before, state())
        """,
        isolated=True,
    )
    assert child.end() == (0, "", "")


def test_every_public_name_is_documented() -> None:
    """Each name of `__all__` exists and has a docstring of its own."""
    missing = [name for name in lastout.__all__ if not getattr(lastout, name).__doc__]
    assert missing == []


def test_every_public_name_can_be_found() -> None:
    """`dir(lastout)` has each name of `__all__`, whether it was used already or not."""
    assert set(lastout.__all__) <= set(dir(lastout))


def test_the_command_runs_only_when_it_is_asked_to() -> None:
    """Importing `lastout.__main__`, as a spawned child of the command does, runs nothing."""
    assert importlib.import_module("lastout.__main__").main is not None


def test_every_test_states_what_it_tests() -> None:
    """Each test function begins with a docstring."""
    silent = [
        f"{path.name}: {node.name}"
        for path in Path(__file__).parent.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        if not ast.get_docstring(node)
    ]
    assert silent == []


def test_the_supported_pythons_agree() -> None:
    """The metadata of an installed lastout asks for Python 3.11 and names what it needs."""
    try:
        metadata = importlib.metadata.metadata("lastout")
    except importlib.metadata.PackageNotFoundError:
        return  # run from the sources: there is no metadata to be wrong
    assert metadata["Requires-Python"] == ">=3.11"
    needs = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert sorted(needs) == ["filelock>=4.2", "multiprocess>=0.70.17"]
