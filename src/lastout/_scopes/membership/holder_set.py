"""HolderSet: for whom this process is in a scope; it leaves with the last of them.

Scope("s")                  a holder of its own, until that scope is left
scope.worker, unpickling    PROCESS: until the process ends, or somebody leaves
a fork                      the child has copies of its parent's, and can do without them

Tested by: tests/shared/test_holders.py
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from typing import Final


class MembershipHolder:
    """Somebody for whom this process is in a scope; each is known by its identity."""

    __slots__ = ()


PROCESS: Final = MembershipHolder()


class HolderSet:
    """The holders of one membership, each with the token that this process had when it came."""

    def __init__(self) -> None:
        self._tokens: dict[MembershipHolder, str] = {}

    def add(self, holder: MembershipHolder, token: str) -> None:
        """It holds the membership from now on."""
        self._tokens[holder] = token

    def discard(self, holders: AbstractSet[MembershipHolder]) -> None:
        """These do no longer."""
        for holder in holders:
            self._tokens.pop(holder, None)

    def clear(self) -> None:
        """Nobody does."""
        self._tokens.clear()

    def are_among(self, holders: AbstractSet[MembershipHolder]) -> bool:
        """Whether there are none but these."""
        return self._tokens.keys() <= holders

    def of_scopes(self, token: str) -> set[MembershipHolder]:
        """The `Scope` objects that came under this token, so were not copied by a fork."""
        # A copy first: a scope that is collected meanwhile gives its own back.
        tokens = self._tokens.copy()
        return {one for one, its in tokens.items() if its == token and one is not PROCESS}

    def dispensable(self, token: str) -> set[MembershipHolder]:
        """All the others: the process itself, and copies that a fork made."""
        return {PROCESS, *self._tokens.copy()} - self.of_scopes(token)
