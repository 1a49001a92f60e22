"""Carrier: what inheritable handlers do where they cannot be pickled, or cannot arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lastout._exits import carrier
from lastout._exits.carrier import _same
from lastout._exits.exit_handler import ExitHandler
from support.callables import Refuses
from support.scripts import WORK, carried, each_package

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


@each_package
@carried
def test_unpicklable_handler_warns_and_kills_no_child(
    program: Start, package: str, method: str
) -> None:
    """A handler that cannot be pickled is named in a RuntimeWarning; the others still arrive."""
    child = program(
        WORK
        + """
    class Stubborn:
        def __reduce__(self):
            raise TypeError("not to be pickled")
        def __call__(self):
            say("stubborn")

    if __name__ == "__main__":
        lastout.handler(inherit=True)(Stubborn())
        lastout.handler(inherit=True, args=("arrived",))(say)
        start()
    """,
        args=[package, method],
    )
    end = child.end()
    assert child.lines == ["worked", "arrived", "status 0", "arrived", "stubborn"]
    assert end.status == 0
    assert end.err.count("RuntimeWarning") == 1, end.err
    assert "Stubborn" in end.err
    assert "not to be pickled" in end.err


@each_package
@carried
def test_a_module_that_exits_when_imported_kills_no_child(
    program: Start, package: str, method: str
) -> None:
    """A handler whose module ends the interpreter on import, as scripts do, is left out."""
    child = program(
        WORK
        + """
    if __name__ == "__main__":
        import script
        lastout.handler(inherit=True)(script.goodbye)
        lastout.handler(inherit=True, args=("arrived",))(say)
        os.environ["EXIT"] = "yes"
        start()
    """,
        args=[package, method],
        modules={
            "script": """
                import os, sys
                def goodbye(): ...
                if os.environ.get("EXIT"):
                    sys.exit("imported")
            """
        },
    )
    end = child.end()
    assert child.lines == ["worked", "arrived", "status 0", "arrived"], end.err
    assert end.err.count("SystemExit: imported") == 1


@each_package
@carried
def test_unpicklable_handler_is_inherited_by_fork(
    program: Start, package: str, method: str
) -> None:
    """A handler that was left out stays what it is: a child that is forked later gets it."""
    child = program(
        WORK
        + """
    if __name__ == "__main__":
        import warnings
        warnings.simplefilter("ignore")
        endless = (say for _ in ())  # a generator: neither pickle nor dill can do it
        lastout.handler(inherit=True, args=("forked",))(lambda word, kept=endless: say(word))
        start()
        sys.argv[2] = "fork"
        start()
    """,
        args=[package, method],
    )
    end = child.end()
    assert child.lines == ["worked", "status 0", "worked", "forked", "status 0", "forked"], end.err


@each_package
@carried
def test_child_that_cannot_import_lastout_lives_on(
    program: Start, package: str, method: str
) -> None:
    """Where the child has no lastout, it does its work and goes without the handler."""
    child = program(
        """
    import importlib, sys
    from say import say

    if __name__ != "__main__":
        sys.modules["lastout"] = None  # importing it is an ImportError from here on

    def work():
        try:
            import lastout
        except ImportError:
            say("worked without")

    if __name__ == "__main__":
        import lastout
        lastout.handler(inherit=True, args=("mine",))(say)
        package, method = sys.argv[1:]
        child = importlib.import_module(package).get_context(method).Process(target=work)
        child.start()
        child.join()
        say("status", child.exitcode)
    """,
        args=[package, method],
    )
    end = child.end()
    assert child.lines == ["worked without", "status 0", "mine"], end.err
    assert end.status == 0


@each_package
@carried
def test_grandchild_gets_it_though_its_parent_has_no_lastout(
    program: Start, package: str, method: str
) -> None:
    """A child that never imports lastout itself hands the handlers on to its own children."""
    child = program(
        """
    import importlib, sys
    from say import say

    def start(target, *args):
        package, method = sys.argv[1:]
        context = importlib.import_module(package).get_context(method)
        child = context.Process(target=target, args=args)
        child.start()
        child.join()
        say("status", child.exitcode)

    if __name__ == "__main__":
        import lastout
        lastout.handler(inherit=True, args=("inherited",))(say)
        start(start, say, "grandchild")
    """,
        args=[package, method],
    )
    end = child.end()
    assert child.lines == [
        "grandchild",
        "inherited",
        "status 0",
        "inherited",
        "status 0",
        "inherited",
    ], end.err


@each_package
@carried
def test_handler_whose_module_is_missing_in_the_child(
    program: Start, package: str, method: str
) -> None:
    """A handler that cannot be unpickled in the child is shown there, and the others still run."""
    child = program(
        WORK
        + """
    if __name__ != "__main__":
        sys.modules["elsewhere"] = None
    else:
        import elsewhere
        lastout.handler(inherit=True)(elsewhere.close)
        lastout.handler(inherit=True, args=("arrived",))(say)
        start()
    """,
        args=[package, method],
        modules={"elsewhere": "def close():\n    from say import say\n    say('elsewhere')\n"},
    )
    end = child.end()
    assert child.lines == ["worked", "arrived", "status 0", "arrived", "elsewhere"], end.err
    assert "elsewhere" in end.err


def test_one_that_cannot_be_registered(program: Start) -> None:
    """Where no thread is to be had for a handler's time limit that is shown; the others arrive."""
    child = program(
        """
        from lastout._exits import carrier, runner
        from lastout._exits.exit_handler import ExitHandler
        from say import say

        def refuse(_):
            raise RuntimeError("can't start new thread")

        sent = [
            ExitHandler(say, ("timed",), timeout=5.0, inherit=True),
            ExitHandler(say, ("plain",), inherit=True),
        ]
        parcels = [carrier._pack(handler, "multiprocessing") for handler in sent]
        runner.reserve = refuse
        carrier.restore_handlers("multiprocessing", parcels)
        """
    )
    ended = child.end()
    assert (ended.status, child.lines) == (0, ["plain"])
    assert "can't start new thread" in ended.err


def test_forking_gets_no_finder(program: Start) -> None:
    """Without inheritable handlers nothing is put in the way of imports."""
    child = program(
        """
        import sys
        from say import say
        before = list(sys.meta_path)
        import lastout
        lastout.register(say, "bye")
        assert sys.meta_path == before
        import multiprocessing, multiprocess
        """
    )
    end = child.end()
    assert (end.status, end.err, child.lines) == (0, "", ["bye"])


def test_finder_goes_when_both_packages_are_here(program: Start) -> None:
    """The finder that waits for a package stands down when there is nothing to wait for."""
    child = program(
        """
        import sys
        before = list(sys.meta_path)
        import lastout
        lastout.handler(print, inherit=True)
        lastout.unregister(print)
        from importlib import import_module
        for package in ("multiprocessing", "multiprocess"):
            import_module(f"{package}.context").reduction
        assert sys.meta_path == before, sys.meta_path
        """
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")


def test_an_import_does_not_fail_over_it(program: Start) -> None:
    """Where no carrier can be planted that is shown, and the package is imported all the same."""
    child = program(
        """
        import sys
        import lastout
        from lastout._exits import carrier
        from say import say

        def fails():
            raise ValueError("no ground")

        lastout.handler(inherit=True, args=("at exit",))(say)
        carrier.install = fails
        from importlib import import_module
        import_module("multiprocess.reduction")
        say("imported")
        """
    )
    ended = child.end()
    assert (ended.status, child.lines) == (0, ["imported", "at exit"])
    assert "ValueError: no ground" in ended.err


@each_package
def test_two_reach_a_grandchild(program: Start, package: str) -> None:
    """Several handlers that came from the parent go on to a child's child, each once."""
    child = program(
        """
        import sys
        import lastout
        from importlib import import_module
        from say import say

        context = import_module(sys.argv[1]).get_context("spawn")

        def begin(generation):
            say(generation)
            if generation:
                run(generation - 1)

        def run(generation):
            process = context.Process(target=begin, args=(generation,))
            process.start()
            process.join()

        if __name__ == "__main__":
            for name in ("one", "two"):
                lastout.handler(inherit=True, args=(name,))(say)
            run(1)
        """,
        args=[package],
    )
    ended = child.end()
    assert (ended.status, ended.err) == (0, "")
    assert child.lines == ["1", "0", *["two", "one"] * 3]


def test_which_are_the_same() -> None:
    """Handlers of one function are the same if their arguments are; if that cannot be told, not."""
    one, other = ExitHandler(len, (Refuses([]),)), ExitHandler(len, (Refuses([]),))
    assert not _same(one, ExitHandler(repr), exactly=False)
    assert _same(one, other, exactly=False)
    assert not _same(one, other, exactly=True)
    assert _same(ExitHandler(len, (1,)), ExitHandler(len, (1,)), exactly=True)


def test_nothing_is_installed_in_a_subinterpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subinterpreter starts no children of these packages."""
    monkeypatch.setattr(carrier, "in_main_interpreter", lambda: False)
    monkeypatch.setattr(carrier, "_install_in", lambda _: pytest.fail("installed"))
    carrier.install()
