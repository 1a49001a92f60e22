"""Carrier: what inheritable handlers do where they cannot be pickled, or cannot arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]

PACKAGES = ("multiprocessing", "multiprocess")
METHODS = ("fork", "forkserver", "spawn")

each_package = pytest.mark.parametrize("package", PACKAGES)
each_method = pytest.mark.parametrize("method", METHODS)
carried = pytest.mark.parametrize("method", METHODS[1:])

WORK = """
    import importlib, os, sys
    import lastout
    from say import say

    def work():
        say("worked")

    def start(target=work):
        package, method = sys.argv[1:]
        child = importlib.import_module(package).get_context(method).Process(target=target)
        child.start()
        child.join()
        say("status", child.exitcode)
"""


@each_package
@carried
def test_unpicklable_handler_warns_and_kills_no_child(
    program: Start, package: str, method: str
) -> None:
    """A handler that cannot be pickled is named in a RuntimeWarning, and the others still arrive."""
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
def test_unpicklable_handler_is_inherited_by_fork(
    program: Start, package: str, method: str
) -> None:
    """A handler that was left out stays what it is: a child that is forked later gets it."""
    child = program(
        WORK
        + """
    if __name__ == "__main__":
        import threading, warnings
        warnings.simplefilter("ignore")
        lock = (say for _ in ())  # a generator: neither pickle nor dill can do it
        lastout.handler(inherit=True, args=("forked",), kwargs={})(lambda word, kept=lock: say(word))
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
        child = importlib.import_module(package).get_context(method).Process(target=target, args=args)
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


@each_package
@each_method
def test_child_can_unregister_what_it_inherited(program: Start, package: str, method: str) -> None:
    """A child that unregisters an inherited handler does not run it, nor do its own children."""
    child = program(
        WORK
        + """
    def hand_on():
        lastout.unregister(say)
        start()

    if __name__ == "__main__":
        lastout.handler(inherit=True, args=("inherited",))(say)
        start(hand_on)
    """,
        args=[package, method],
    )
    end = child.end()
    assert child.lines == ["worked", "status 0", "status 0", "inherited"], end.err


@each_package
@each_method
def test_child_hands_on_what_it_registered_itself(
    program: Start, package: str, method: str
) -> None:
    """An inheritable handler of a child reaches the grandchild, and never the parent."""
    child = program(
        WORK
        + """
    def hand_on():
        lastout.handler(inherit=True, args=("of the child",))(say)
        start()

    if __name__ == "__main__":
        start(hand_on)
        start()
    """,
        args=[package, method],
    )
    end = child.end()
    expected = ["worked", "of the child", "status 0", "of the child", "status 0"]
    assert child.lines == [*expected, "worked", "status 0"], end.err


@each_package
@each_method
def test_process_made_before_the_handler(program: Start, package: str, method: str) -> None:
    """A process object that was made before the registration and is started after it has it."""
    child = program(
        WORK
        + """
    if __name__ == "__main__":
        package, method = sys.argv[1:]
        made = importlib.import_module(package).get_context(method).Process(target=work)
        lastout.handler(inherit=True, args=("inherited",))(say)
        made.start()
        made.join()
        say("status", made.exitcode)
    """,
        args=[package, method],
    )
    end = child.end()
    assert child.lines == ["worked", "inherited", "status 0", "inherited"], end.err


@each_package
@each_method
def test_started_before_the_handler(program: Start, package: str, method: str) -> None:
    """A child that was started before the registration does not have it."""
    child = program(
        WORK
        + """
    def wait(gate):
        gate.wait()
        say("worked")

    if __name__ == "__main__":
        package, method = sys.argv[1:]
        context = importlib.import_module(package).get_context(method)
        gate = context.Event()
        early = context.Process(target=wait, args=(gate,))
        early.start()
        lastout.handler(inherit=True, args=("inherited",))(say)
        gate.set()
        early.join()
        say("status", early.exitcode)
    """,
        args=[package, method],
    )
    end = child.end()
    assert child.lines == ["worked", "status 0", "inherited"], end.err


@each_package
@each_method
def test_replaced_pool_workers_inherit(program: Start, package: str, method: str) -> None:
    """Each of the workers that a pool starts one after the other has the inherited handler once."""
    child = program(
        WORK
        + """
    def task(number):
        say("pid", os.getpid())

    def ran():
        say("ran", os.getpid())

    if __name__ == "__main__":
        lastout.handler(inherit=True)(ran)
        package, method = sys.argv[1:]
        pool = importlib.import_module(package).get_context(method).Pool(1, maxtasksperchild=1)
        for number in range(3):
            pool.apply(task, (number,))
        pool.close()
        pool.join()
    """,
        args=[package, method],
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    pids = [line.split()[1] for line in child.lines if line.startswith("pid")]
    ran = [line.split()[1] for line in child.lines if line.startswith("ran")]
    assert len(set(pids)) == 3
    assert len(ran) == len(set(ran)), child.lines
    assert {*pids, str(child.pid)} <= set(ran)


@each_package
@carried
def test_options_are_carried(program: Start, package: str, method: str) -> None:
    """A time limit is inherited with the handler: it is abandoned in the child as in the parent."""
    child = program(
        WORK
        + """
    def slow():
        say("slow")
        import threading
        threading.Event().wait(30)

    if __name__ == "__main__":
        lastout.handler(timeout=0.1, inherit=True)(slow)
        start()
        lastout.unregister(slow)
    """,
        args=[package, method],
    )
    end = child.end(seconds=20)
    assert child.lines == ["worked", "slow", "status 0"], end.err
    assert "HandlerTimeout" in end.err


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
        import multiprocessing, multiprocess, multiprocessing.context, multiprocess.context
        assert sys.meta_path == before, sys.meta_path
        """
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
