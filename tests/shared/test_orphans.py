"""Process trees: workers that joined by `scope.worker` end when their parent has ended."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope
from lastout._identity import here
from lastout._platform import pids
from lastout._scopes.reaping import orphans
from lastout._scopes.records import journal as journals
from lastout.backends.held import LockedDirectory
from lastout.errors import UsageError
from support import eventually
from support.guardians import guardian, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program

MOMENTS = 5.0

# A pool whose workers are busy for ever; says the pids of all.
TREE = """
    import os, signal, time
    from multiprocessing import get_context
    import lastout
    from lastout.integrations.pools import worker
    from say import say

    def busy(_):
        scope = lastout.current_scope()
        say("made", scope.directory(lifetime="member"))
        {work}
        say("worker", os.getpid())
        while True:
            time.sleep(60)

    if __name__ == "__main__":
        scope = lastout.Scope("s", {options})
        say("made", scope.directory())
        pool = get_context("{method}").Pool(2, {join})
        say("parent", os.getpid())
        result = pool.map_async(busy, range(2), chunksize=1)
        {then}
        result.wait()
"""


def start(
    program: Callable[..., Program],
    options: str = "guardian=True",
    work: str = "",
    method: str = "fork",
    then: str = "",
    join: str = "scope.worker",
) -> Program:
    tree = program(TREE.format(options=options, work=work, method=method, then=then, join=join))
    assert eventually(lambda: len(said(tree, "worker")) == 2, 30), tree.lines
    return tree


def said(tree: Program, what: str) -> list[str]:
    return [line.split()[1] for line in tree.lines if line.split()[0] == what]


def workers(tree: Program) -> list[int]:
    return [int(pid) for pid in said(tree, "worker")]


def alive(pids_: list[int]) -> list[int]:
    facts = {pid: pids.process_facts(pid) for pid in pids_}
    return [pid for pid, known in facts.items() if known and not known.ending]


def all_gone(tree: Program, seconds: float = MOMENTS) -> bool:
    things = [*said(tree, "made"), os.path.join(os.environ["LASTOUT_ROOT"], "s")]
    return eventually(
        lambda: not alive(workers(tree)) and not any(map(os.path.exists, things)), seconds
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_they_end_with_their_parent(program: Callable[..., Program], method: str) -> None:
    """A parent is killed: its busy workers end, and all that any of them made goes."""
    tree = start(program, method=method)
    tree.kill()
    assert all_gone(tree), (tree.lines, alive(workers(tree)))


def test_their_handlers_run(program: Callable[..., Program]) -> None:
    """They are asked by SIGTERM first, so their exit handlers run before they are killed."""
    work = 'lastout.handle_signals(); lastout.register(say, "bye", os.getpid())'
    tree = start(program, work=work)
    tree.kill()
    assert all_gone(tree)
    assert sorted(map(int, said(tree, "bye"))) == sorted(workers(tree))


def test_they_are_killed_after_their_grace(program: Callable[..., Program]) -> None:
    """Those that will not end by SIGTERM are killed when `worker_grace` is over."""
    work = "signal.signal(signal.SIGTERM, lambda *_: say('asked', os.getpid()))"
    tree = start(program, "guardian=True, worker_grace=0.3", work)
    tree.kill()
    assert all_gone(tree)
    assert sorted(map(int, said(tree, "asked"))) == sorted(workers(tree))


def test_two_that_end_them_at_once(program: Callable[..., Program]) -> None:
    """Of two that reap at once one ends them, by one SIGTERM each; the other one waits for it."""
    go = "[time.sleep(0.01) for _ in iter(lambda: os.path.exists('go'), True)]"
    asked = f"lambda *_: (say('asked', os.getpid()), {go}, os._exit(0))"
    tree = start(
        program, "end_workers=True, worker_grace=60", f"signal.signal(signal.SIGTERM, {asked})"
    )
    tree.kill()
    tree.end()
    with ThreadPoolExecutor(2) as pool:
        reports = [pool.submit(lastout.reap) for _ in range(2)]
        assert eventually(lambda: len(said(tree, "asked")) == 2, 30)
        assert not wait(reports, 0.3).done
        (tree.directory / "go").touch()
        assert all(report.result(60).ok for report in reports)
    assert all_gone(tree, 0)
    assert sorted(map(int, said(tree, "asked"))) == sorted(workers(tree))


# Out of patience at once: the handlers of those that are told twice take longer.
LONG = """
        from lastout._exits import signal_end
        signal_end.IMPATIENT_AFTER = 0.0
        lastout.handle_signals()
        @lastout.register
        def late():
            say("asked", os.getpid())
            [time.sleep(0.01) for _ in iter(lambda: os.path.exists("go"), True)]
            say("bye", os.getpid())
""".strip()


def test_those_that_end_already_are_not_asked_again(program: Callable[..., Program]) -> None:
    """Workers that a signal ends already finish their handlers when the parent is killed."""
    tree = start(program, "end_workers=True, worker_grace=60", LONG)
    for pid in workers(tree):
        os.kill(pid, signal.SIGTERM)
    assert eventually(lambda: len(said(tree, "asked")) == 2, 30)
    assert eventually(lambda: all(map(pids.unwinds, workers(tree))))
    tree.kill()
    tree.end()
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(lastout.reap)
        assert not wait([report], 0.5).done, report.result().outcomes
        (tree.directory / "go").touch()
        assert report.result(60).ok
    assert all_gone(tree, 0)
    assert sorted(map(int, said(tree, "bye"))) == sorted(workers(tree))


# Workers that multiprocessing would join, and not end.
EXECUTOR = """
    import os, signal, sys, time
    from multiprocessing import get_context
    import lastout
    from say import say

    def work(join):
        join()
        {begin}
        say("worker", os.getpid())
        while True:
            time.sleep(60)

    if __name__ == "__main__":
        lastout.handle_signals()
        scope = lastout.Scope("s", {options})
        say("made", scope.directory())
        lastout.register(say, "parent ends")
        for _ in range(2):
            get_context("{method}").Process(target=work, args=({join},)).start()
        say("parent", os.getpid())
        while True:
            time.sleep(60)
"""


@pytest.mark.thorough(one_in=3)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    "join", ["scope.worker", "lastout.integrations.pools.worker(scope)"], ids=["scope", "pools"]
)
def test_a_parent_that_a_signal_ends_takes_them_along(
    program: Callable[..., Program], method: str, join: str
) -> None:
    """Whoever asked for `scope.worker` has ended its workers when it dies of a handled signal."""
    begin = 'lastout.handle_signals(); lastout.register(say, "bye", os.getpid())'
    tree = program(
        EXECUTOR.format(options="end_workers=True", begin=begin, method=method, join=join).replace(
            "import lastout\n", "import lastout, lastout.integrations.pools\n"
        )
    )
    assert eventually(lambda: len(said(tree, "worker")) == 2, 30), tree.lines
    tree.signal(signal.SIGTERM)
    assert tree.end().status == -signal.SIGTERM
    assert not alive(workers(tree))
    assert sorted(map(int, said(tree, "bye"))) == sorted(workers(tree))
    assert all_gone(tree, 0)


def test_a_parent_that_a_signal_ends_kills_them_after_their_grace(
    program: Callable[..., Program],
) -> None:
    """Of those that do not end by SIGTERM nothing is left either when their parent has died."""
    begin = "signal.signal(signal.SIGTERM, lambda *_: say('asked', os.getpid()))"
    tree = program(
        EXECUTOR.format(
            options="end_workers=True, worker_grace=0.3",
            begin=begin,
            method="fork",
            join="scope.worker",
        )
    )
    assert eventually(lambda: len(said(tree, "worker")) == 2, 30), tree.lines
    tree.signal(signal.SIGTERM)
    assert tree.end().status == -signal.SIGTERM
    assert sorted(map(int, said(tree, "asked"))) == sorted(workers(tree))
    assert all_gone(tree, 0)


@pytest.mark.thorough
def test_workers_that_may_live_on_are_not_ended_by_a_signal_of_their_parent(
    program: Callable[..., Program],
) -> None:
    """With `end_workers=False` a parent that dies of a signal leaves its workers alone."""
    tree = program(
        EXECUTOR.format(options="end_workers=False", begin="", method="fork", join="scope.worker")
    )
    assert eventually(lambda: len(said(tree, "worker")) == 2, 30), tree.lines
    tree.signal(signal.SIGTERM)
    assert tree.end().status == -signal.SIGTERM
    assert sorted(alive(workers(tree))) == sorted(workers(tree))
    for pid in workers(tree):
        os.kill(pid, signal.SIGKILL)
    # Whoever is killed gives up its locks a moment later.
    assert eventually(lambda: lastout.reap().ok and all_gone(tree, 0))


def test_one_that_reaps_while_it_is_ended(program: Callable[..., Program]) -> None:
    """A worker whose handlers call `reap` does not wait for whoever ends it."""
    work = "lastout.handle_signals(); lastout.register(lastout.reap); lastout.register(say, 'bye')"
    tree = start(
        program, "end_workers=True, worker_grace=60", work.replace("'bye'", "'bye', os.getpid()")
    )
    tree.kill()
    tree.end()
    assert lastout.reap().ok
    assert all_gone(tree, 0)
    assert sorted(map(int, said(tree, "bye"))) == sorted(workers(tree))


def test_no_room_for_the_lock_of_those_who_end_them(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that lock cannot be taken they are ended all the same."""

    def refuse(*_: object) -> None:
        raise OSError("no space")

    tree = start(program, "end_workers=True, worker_grace=60")
    tree.kill()
    tree.end()
    monkeypatch.setattr(LockedDirectory, "take", refuse)
    assert lastout.reap().ok
    assert all_gone(tree, 0)


def test_one_that_asks_itself(program: Callable[..., Program]) -> None:
    """A worker that ends by itself gets no second SIGTERM while it does, only its grace's end."""
    work = "signal.signal(signal.SIGTERM, lambda *_: say('asked', os.getpid()))"
    tree = start(program, "guardian=True, worker_grace=0.3", work, join="worker(scope, signals=())")
    tree.kill()
    assert all_gone(tree)
    assert sorted(map(int, said(tree, "asked"))) == sorted(workers(tree))


def test_a_stopped_worker(program: Callable[..., Program]) -> None:
    """A worker that is stopped is continued, hears SIGTERM, and ends without its grace."""
    tree = start(program, "guardian=True, worker_grace=30")
    for pid in workers(tree):
        os.kill(pid, signal.SIGSTOP)
    tree.kill()
    assert all_gone(tree)


def test_they_may_live_on(program: Callable[..., Program]) -> None:
    """With `end_workers=False` they live on, as members, and what they share stays."""
    tree = start(program, "guardian=True, end_workers=False")
    tree.kill()
    tree.end()
    survivors = workers(tree)
    with Scope("s") as scope:
        living = {member.pid for member in scope.members() if member.alive}
        assert living == {*survivors, os.getpid()}
    assert not lastout.reap()
    assert alive(survivors) == survivors
    assert all(map(os.path.isdir, said(tree, "made")))
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    assert all_gone(tree)


def test_without_a_guardian(program: Callable[..., Program]) -> None:
    """Without a guardian they live on, and are not touched by a reap, unless that was asked for."""
    tree = start(program, "")
    tree.kill()
    tree.end()
    assert not lastout.reap()
    assert alive(workers(tree)) == workers(tree)
    for pid in workers(tree):
        os.kill(pid, signal.SIGKILL)
    # One that is just ending still has its lock for a moment.
    assert eventually(lambda: lastout.reap().ok and all_gone(tree, 0))


def test_a_reap_ends_them(program: Callable[..., Program]) -> None:
    """With `end_workers=True` and no guardian, the next reap ends them, and then cleans all."""
    tree = start(program, "end_workers=True")
    tree.kill()
    tree.end()
    assert alive(workers(tree)) == workers(tree)
    report = lastout.reap()
    assert report.ok
    names = [outcome.name for outcome in report]
    assert {f"worker {pid}" for pid in workers(tree)} <= set(names)
    assert all_gone(tree, 0)


def test_a_killed_guardian_changes_nothing(program: Callable[..., Program]) -> None:
    """The guardian is killed before the parent: one reap ends the workers and cleans."""
    tree = start(program)
    one = guardian(os.path.join(os.environ["LASTOUT_ROOT"], "s"))
    one.kill()
    assert eventually(lambda: has_ended(one))
    tree.kill()
    tree.end()
    assert lastout.reap().ok
    assert all_gone(tree, 0)


def test_a_parent_that_has_left(program: Callable[..., Program]) -> None:
    """A parent that left the scope and is killed later takes its workers with it all the same."""
    tree = start(program, then="scope.leave(); say('left', 0)")
    tree.wait_for("left 0")
    guardian(os.path.join(os.environ["LASTOUT_ROOT"], "s"))
    assert alive(workers(tree)) == workers(tree)
    tree.kill()
    assert all_gone(tree)


def test_a_parent_that_died_before_its_worker_came(program: Callable[..., Program]) -> None:
    """A worker that joins when its parent is dead already ends at once, guardian or not."""
    child = program("""
        import os, pickle, signal, time
        import lastout
        from say import say

        scope = lastout.Scope("s", end_workers=True)
        ends, pid = os.pipe(), os.fork()
        if not pid:
            other = scope.worker           # of a parent that is killed
            os.write(ends[1], pickle.dumps(other))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        worker = pickle.loads(os.read(ends[0], 65536))
        pid = os.fork()
        if not pid:
            worker()
            time.sleep(60)
        say(os.waitpid(pid, 0)[1])
        scope.leave()
    """)
    child.wait_for(str(signal.SIGTERM.value))
    assert child.end().status == 0
    assert eventually(lambda: not os.path.exists(os.path.join(os.environ["LASTOUT_ROOT"], "s")))


def test_threads_of_the_parent_are_no_workers() -> None:
    """A pool of threads may take `scope.worker` too: it says nothing about this process."""
    with Scope("s", end_workers=True) as scope:
        with ThreadPoolExecutor(2, initializer=scope.worker) as pool:
            assert list(pool.map(str, range(2))) == ["0", "1"]
        with scope._member.journal.lock_scope() as held:
            journal = journals.parse("", held.read(scope._member.token))
        assert journal.parent is None
        lastout.current_scope().leave()


def a_worker(pid: int, started: int | None) -> journals.Journal:
    """The journal of a worker of a parent that has ended."""
    journal = journals.Journal("token")
    journal.who = here()
    journal.who.pid, journal.who.started = pid, started
    return journal


def test_a_reused_pid_is_never_signalled() -> None:
    """Where a worker's pid was handed out again, its new owner hears nothing."""
    pid = os.fork()
    if not pid:
        signal.pause()
        os._exit(0)
    facts = pids.process_facts(pid)
    assert facts
    assert facts.started
    assert orphans.end([a_worker(pid, facts.started - 1)]) == []
    assert alive([pid])
    worker = a_worker(pid, facts.started)
    worker.grace = 30.0
    [outcome] = orphans.end([worker])
    assert (outcome.name, outcome.failure) == (f"worker {pid}", None)
    assert os.waitpid(pid, 0)[1] == signal.SIGTERM


def test_one_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not end even by SIGKILL is reported, with its pid."""
    monkeypatch.setattr(orphans, "LAST_PATIENCE", 0.05)
    monkeypatch.setattr(pids, "signal_held", lambda *_: None)  # as if in an endless system call
    pid = os.fork()
    if not pid:
        signal.pause()
        os._exit(0)
    facts = pids.process_facts(pid)
    assert facts
    [outcome] = orphans.end([a_worker(pid, facts.started)])
    assert outcome.status == "timed out"
    assert outcome.failure
    assert str(pid) in str(outcome.failure.exception)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_nobody_ends_itself(tmp_path: Path) -> None:
    """An orphan that reaps goes on: it is others' business to end it."""
    with Scope("s", end_workers=True) as scope:
        parent = os.fork()
        if not parent:
            os._exit(0)
        dead = here()
        dead.pid, dead.started = parent, 1
        os.waitpid(parent, 0)
        scope._member.journal.will_end_with(dead, 5.0)
        assert lastout.reap().ok
        assert len(scope.members()) == 1


def test_where_processes_cannot_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be ended safely, `end_workers=True` is refused at once."""
    monkeypatch.setattr(pids, "has_pidfds", lambda: False)
    with pytest.raises(UsageError, match="pidfd"):
        Scope("s", end_workers=True)
    Scope("s").leave()
