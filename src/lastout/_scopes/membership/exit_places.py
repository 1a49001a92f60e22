"""ExitPlace: the place, among the exit handlers of a process, at which it leaves its scopes.

A process leaves a scope of module level after the handlers that are registered later, because
they may use it.  A fork server joins no scope and runs no handlers, but its children have its
handlers before they join, so the server keeps a place for each scope among the handlers.

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
        leave: the function to call then.
    """

    leave: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Leave the scope, if this process has joined it."""
        if self.leave:
            self.leave()


# By the path of the scope.
_places: dict[str, ExitPlace] = {}


def keep_place(path: str) -> None:
    """In a fork server, have its children leave the scope at this place in the order."""
    load_all(path)  # here, so that the children need not
    if path not in _places:
        _places[path] = ExitPlace()
        registry.register(_places[path])


def register_leaving(path: str, leave: Callable[[], None]) -> None:
    """Have `leave` called when the process ends, before handlers that were registered earlier."""
    if is_forkserver():
        return  # because it runs no handlers, and its children would inherit this handler
    place = _places.get(path)
    if place:
        place.leave = leave
    else:
        registry.register(leave)


def unregister_leaving(path: str, leave: Callable[[], None]) -> None:
    """Take the handler away, because the process has left the scope."""
    if not is_forkserver():
        registry.unregister(_places.pop(path, leave))


def forget_place(path: str) -> None:
    """In a forked child, forget a place among its parent's handlers."""
    _places.pop(path, None)


def show_failures(outcomes: Iterable[Outcome], handler: Callable[[], None]) -> None:
    """Show the failed outcomes as failures of this exit handler."""
    for outcome in outcomes:
        if outcome.failure:
            error = outcome.failure.exception
            registry.show(error, handler, error.__traceback__)
