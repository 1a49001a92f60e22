"""HolderSet: the holders that keep this process in a scope; it leaves with the last holder.

Scope("s")                  a holder of its own, until that `Scope` object leaves
scope.worker, unpickling    PROCESS: until the process ends, or a `Scope` object leaves
a fork                      the child has copies of its parent's holders, and may drop them

Tested by: tests/shared/test_holders.py
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from typing import Final


class MembershipHolder:
    """A reason for this process to be in a scope, compared by identity."""

    __slots__ = ()


PROCESS: Final = MembershipHolder()


class HolderSet:
    """The holders of one membership, each with this process's token at the time it was added."""

    def __init__(self) -> None:
        self._tokens: dict[MembershipHolder, str] = {}

    def add(self, holder: MembershipHolder, token: str) -> None:
        """Add a holder, which keeps this process in the scope from now on."""
        self._tokens[holder] = token

    def discard(self, holders: AbstractSet[MembershipHolder]) -> None:
        """Remove these holders."""
        for holder in holders:
            self._tokens.pop(holder, None)

    def clear(self) -> None:
        """Remove all holders."""
        self._tokens.clear()

    def are_among(self, holders: AbstractSet[MembershipHolder]) -> bool:
        """Whether all holders are among these."""
        return self._tokens.keys() <= holders

    def of_scopes(self, token: str) -> set[MembershipHolder]:
        """The `Scope` objects added under this token, and so not copied by a fork."""
        # A copy first, because a `Scope` that is collected meanwhile removes its holder.
        tokens = self._tokens.copy()
        return {one for one, its in tokens.items() if its == token and one is not PROCESS}

    def dispensable(self, token: str) -> set[MembershipHolder]:
        """The remaining holders: the process itself, and copies that a fork made."""
        return {PROCESS, *self._tokens.copy()} - self.of_scopes(token)
