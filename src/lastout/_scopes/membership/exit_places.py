"""Places: where, among the exit handlers of a process, it leaves its scopes.

A scope that is made at module level is left after the handlers that are registered later, which
may use it.  A fork server joins nothing and runs no handlers, but its children have its handlers
before they join: so it keeps a place for each scope between them.

Tested by: tests/shared/test_forkserver.py
"""

from __future__ import annotations

from ..._exits import registry
from ..._exits.forkserver import is_forkserver
from .loading import load_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...report import Outcome


class ExitPlace:
    """An exit handler that leaves a scope, once this process has joined it.

    Attributes:
        leave: what it calls then.
    """

    leave: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Leave."""
        if self.leave:
            self.leave()


# By the path of the scope.
_places: dict[str, ExitPlace] = {}


def keep_place(path: str) -> None:
    """In a fork server: its children are to leave that scope at this place in the order."""
    load_all(path)  # once, for all of them
    if path not in _places:
        _places[path] = ExitPlace()
        registry.register(_places[path])


def register_leaving(path: str, leave: Callable[[], None]) -> None:
    """Have that called when the process ends, before what was registered earlier."""
    if is_forkserver():
        return  # which runs no handlers: this one would be its children's
    place = _places.get(path)
    if place:
        place.leave = leave
    else:
        registry.register(leave)


def unregister_leaving(path: str, leave: Callable[[], None]) -> None:
    """That scope was left."""
    if not is_forkserver():
        registry.unregister(_places.pop(path, leave))


def forget_place(path: str) -> None:
    """In a forked child: that place was among the handlers of its parent."""
    _places.pop(path, None)


def show_failures(outcomes: Iterable[Outcome], handler: Callable[[], None]) -> None:
    """Show what this exit handler could not clean."""
    for outcome in outcomes:
        if outcome.failure:
            error = outcome.failure.exception
            registry.show(error, handler, error.__traceback__)
