"""Places: where, among the exit handlers of a fork server's children, they leave their scopes.

A scope that is made at module level is left after the handlers that are registered later, which
may use it.  The server joins nothing and runs no handlers, but its children have its handlers
before they join: so it keeps a place for each scope between them.
"""

from __future__ import annotations

from ..._exits import registry
from .loading import load_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .membership import Membership


class ExitPlace:
    """An exit handler that leaves a scope, once this process has joined it."""

    membership: Membership | None = None

    def __call__(self) -> None:
        """Leave."""
        if self.membership:
            self.membership.leave_at_exit()


# By the path of the scope.
places: dict[str, ExitPlace] = {}


def keep_place(path: str) -> None:
    """In a fork server: its children are to leave that scope at this place in the order."""
    load_all(path)  # once, for all of them
    if path not in places:
        places[path] = ExitPlace()
        registry.register(places[path])
