"""Holders: for whom a process is in a scope, and that it leaves with the last of them."""

from __future__ import annotations

import os
from typing import Any

import pytest

import lastout
from lastout import errors
from lastout._scopes.membership import joining, membership
from lastout._scopes.membership.holder_set import PROCESS, HolderSet, MembershipHolder


def test_a_copy_is_dispensable() -> None:
    """Holders that came under another token, and the process itself, need not be asked."""
    holders, old, new = HolderSet(), MembershipHolder(), MembershipHolder()
    holders.add(old, "parent")
    holders.add(new, "child")
    holders.add(PROCESS, "child")
    assert holders.of_scopes("child") == {new}
    assert holders.dispensable("child") == {old, PROCESS}
    assert not holders.are_among({old, PROCESS})
    holders.discard({new})
    assert holders.are_among({old, PROCESS})


@pytest.mark.parametrize("error", [KeyboardInterrupt, errors.ScopeBusy("busy")])
def test_leaving_that_raises_gives_nothing_back(
    error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could not leave holds the membership as before, and leaves it the next time."""

    def fails(*_: object) -> None:
        raise error

    scope = lastout.Scope("s")
    member = joining.joined[scope.path]
    before = member.holders.of_scopes(member.token)
    with monkeypatch.context() as patch:
        patch.setattr(membership.ScopeLeaver, "leave", fails)
        with pytest.raises((KeyboardInterrupt, errors.ScopeBusy)):
            scope.leave()
    assert member.holders.of_scopes(member.token) == before != set()
    made = scope.file()
    assert [outcome.status for outcome in scope.leave()] == ["done"]
    assert not os.path.exists(made)
    assert scope.path not in joining.joined


def test_a_scope_that_is_collected_while_others_are_asked_for() -> None:
    """A scope may be collected at any moment, also while somebody looks at the holders."""
    holders, stays, goes = HolderSet(), MembershipHolder(), MembershipHolder()

    class Collecting(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            holders.discard({goes})
            return str.__eq__(self, other)

    holders.add(stays, "token")
    holders.add(goes, "another")
    assert holders.of_scopes(Collecting("token")) == {stays}
    assert holders.are_among({stays})
