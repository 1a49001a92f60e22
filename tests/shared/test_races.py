"""Threads that join, make, take back, fork and leave at once; `nox -s stress` does it for long."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from lastout import Scope
from lastout._scopes.membership import handover, membership
from lastout._scopes.membership.recording import JournalWriter
from support.races import hammer

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from support import Program

WAIT = 30.0
SHORT = 0.3  # seconds; for what must not come while we wait for it


def test_eight_threads_at_once(program: Callable[..., Program]) -> None:
    """Nothing of a thread goes before it has left, and nothing is there when all have."""
    hammer(program, "scope_races", 2.0, seed=1)


def test_a_fork_while_another_thread_joins(program: Callable[..., Program]) -> None:
    """The child is not in that scope, and can join it."""
    child = program("""
        import os, threading
        import lastout
        from lastout.deadline import Deadline
        from lastout.backends import local
        from say import say

        def wait(*args):
            waiting.set()
            really_wait(*args)

        held = local.LocalBackend().lock_scope("s", Deadline(), create=True)
        waiting, really_wait, local.wait_for = threading.Event(), local.wait_for, wait
        scopes = []
        thread = threading.Thread(target=lambda: scopes.append(lastout.Scope("s")))
        thread.start()
        assert waiting.wait(30)
        pid = os.fork()
        if not pid:
            with lastout.Scope("s") as scope:
                say("joined", os.path.exists(scope.file()))
            os._exit(0)
        with held:
            pass
        thread.join()
        say("status", os.waitpid(pid, 0)[1])
        scopes[0].leave()
    """)
    ended = child.end(WAIT)
    assert ended.status == 0, ended.err
    assert child.lines == ["joined True", "status 0"]


def test_a_join_while_another_thread_is_just_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joins then can release what it makes."""
    scopes: list[Scope] = []
    thread = threading.Thread(target=lambda: scopes.append(Scope("s")))
    keep_here = membership.keep_here

    def join_beside(path: str, keeper: membership.Membership | None) -> None:
        if keeper is None and thread.ident is None:
            thread.start()
            thread.join(SHORT)
        keep_here(path, keeper)

    monkeypatch.setattr(membership, "keep_here", join_beside)
    Scope("s").leave()
    thread.join(WAIT)
    with scopes[0] as scope:
        thing = scope.file()
        thing.release()
        assert not os.path.exists(thing)


def test_two_threads_that_release_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cleaned once, also if somebody else has written in the journal of its member."""
    monkeypatch.setattr(JournalWriter, "alone_wrote", lambda _: False)
    begun, go_on, cleaned = threading.Event(), threading.Event(), []
    with Scope("s") as scope:
        thing, member = scope.file(), scope._membership()
        really_clean = member.clean

        def clean(*args: object) -> object:
            cleaned.append(args)
            begun.set()
            assert go_on.wait(WAIT)
            return really_clean(*args)

        member.clean = clean
        first, second = (threading.Thread(target=thing.release) for _ in range(2))
        first.start()
        assert begun.wait(WAIT)
        second.start()
        second.join(SHORT)
        go_on.set()
        first.join(WAIT), second.join(WAIT)
        assert not os.path.exists(thing)
    assert len(cleaned) == 1


def test_two_threads_that_join_for_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks are followed once, and neither has joined before they are."""
    followed: list[tuple[object, ...]] = []
    begun, go_on = threading.Event(), threading.Event()

    def follow_forks(*hooks: object) -> None:
        begun.set()
        assert go_on.wait(WAIT)
        followed.append(hooks)

    monkeypatch.setattr(handover, "_following", False)
    monkeypatch.setattr(handover.children, "follow_forks", follow_forks)
    threads = [threading.Thread(target=handover.follow) for _ in range(2)]
    threads[0].start()
    assert begun.wait(WAIT)
    threads[1].start()
    threads[1].join(SHORT)
    assert threads[1].is_alive()
    go_on.set()
    for thread in threads:
        thread.join(WAIT)
    assert len(followed) == 1
