"""Inheriting: which processes have an inheritable handler, and when it is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.scripts import WORK, carried, each_method, each_package

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


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
