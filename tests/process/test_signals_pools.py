"""Signals to pools: workers that their package ends by SIGTERM finish their handlers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.scripts import FAMILY, METHODS, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

    Start = Callable[..., Program]


WORKERS = """
    def finish(seconds):
        threading.Event().wait(seconds)
        say("finished", os.getpid())

    def initialize(seconds, said):
        global busy
        busy = said
        lastout.handle_signals()
        for _ in range(4):
            lastout.register(finish, 0)
        lastout.register(finish, seconds)
        say("registered", os.getpid())
        busy.release()

    def work(number):
        return number

    def work_on(_):
        busy.release()
        time.sleep(60)
"""


def finished_by_worker(child: Program) -> list[int]:
    """How many handlers ran in each process that registered five."""
    workers = [line.split()[1] for line in child.lines if line.startswith("registered")]
    return [child.lines.count(f"finished {pid}") for pid in workers]


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("seconds", [0, 0.2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("package", PACKAGES)
def test_pool_that_ends_its_workers(
    program: Start, package: str, method: str, seconds: float, state: str
) -> None:
    """Workers ended by the end of `with Pool()` finish every handler, and the pool never hangs.

    An idle worker may have been told to go before the signal comes: it ends with
    status 0 then.  A busy one dies of the signal.
    """
    rounds = 5 if method == "fork" else 1
    child = program(
        FAMILY
        + WORKERS
        + """
    if __name__ == "__main__":
        package, method, seconds, state, rounds = sys.argv[1:]
        mp = importlib.import_module(package)
        context = mp.get_context(method)
        for _ in range(int(rounds)):
            busy = context.Semaphore(0)
            with context.Pool(4, initialize, (float(seconds), busy)) as pool:
                workers = mp.active_children()
                for _ in workers:
                    assert busy.acquire(timeout=30)
                assert pool.map(work, range(8), chunksize=1) == list(range(8))
                if state == "busy":
                    pool.map_async(work_on, range(4), chunksize=1)
                    for _ in workers:
                        assert busy.acquire(timeout=30)
            pool.join()
            for worker in workers:
                say("status", worker.exitcode)
    """,
        args=[package, method, str(seconds), state, str(rounds)],
    )
    end = child.end(seconds=60)
    assert end.status == 0, end.err
    counts = Counter(child.lines)
    if state == "busy":
        assert counts["status -15"] == rounds * 4, child.lines
    else:
        assert counts["status -15"] + counts["status 0"] == rounds * 4, child.lines
    assert finished_by_worker(child) == [5] * 4 * rounds, child.lines


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("package", PACKAGES)
def test_daemonic_child_at_the_parent_s_end(program: Start, package: str, method: str) -> None:
    """A daemonic child, which its package ends by SIGTERM, finishes its handlers first."""
    child = program(
        FAMILY
        + WORKERS
        + """
    def stay(gate):
        initialize(0.2, gate)
        wait()

    if __name__ == "__main__":
        context = importlib.import_module(sys.argv[1]).get_context(sys.argv[2])
        gate = context.Semaphore(0)
        context.Process(target=stay, args=(gate,), daemon=True).start()
        assert gate.acquire(timeout=30)
        lastout.register(say, "parent")
    """,
        args=[package, method],
    )
    end = child.end(seconds=30)
    assert (end.status, end.err) == (0, "")
    assert finished_by_worker(child) == [5]
    assert child.lines.count("parent") == 1


@pytest.mark.parametrize("seconds", [0, 0.2])
def test_pool_whose_parent_handles_signals(program: Start, seconds: float) -> None:
    """Forked workers handle signals because their parent does, and inherit what it says."""
    child = program(
        FAMILY
        + """
    import multiprocessing

    def finish(seconds):
        threading.Event().wait(seconds)
        say("finished", os.getpid())

    def work(number):
        return os.getpid()

    lastout.handle_signals()
    lastout.handler(inherit=True, args=(float(sys.argv[1]),))(finish)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        workers = multiprocessing.active_children()
        pool.map(work, range(8))
    pool.join()
    say("statuses", *{worker.exitcode for worker in workers})
    say("workers", *sorted(str(worker.pid) for worker in workers))
    """,
        args=[str(seconds)],
    )
    end = child.end(seconds=30)
    assert (end.status, end.err) == (0, "")
    [statuses] = [line.split()[1:] for line in child.lines if line.startswith("statuses")]
    assert {*statuses} <= {"0", "-15"}
    finished = Counter(line.split()[1] for line in child.lines if line.startswith("finished"))
    [workers] = [line.split()[1:] for line in child.lines if line.startswith("workers")]
    assert finished == Counter([*workers, str(child.pid)])
