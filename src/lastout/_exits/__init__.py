"""One process: exit handlers lie on a stack, and an event unwinds it.

    register() · @handler ==> registry ==> stack
    exit · signal · end of a child ==> unwind(deadline) ==> Report

Only the standard library is imported here, and of that nothing slow to load.
"""

from __future__ import annotations

from .._platform.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The packages whose children are followed; never imported from here.
PACKAGES = ("multiprocessing", "multiprocess")


def _in_children(name: str) -> Callable[[], object]:
    """Return a hook that calls a function of `children`, and loads that module if need be."""

    def call() -> None:
        getattr(load("lastout._exits.children"), name)()

    return call


# What `children` and `signals` hang into the registry, which knows nothing of them.
on_first_registration = [_in_children("arm")]
on_before_threads = [_in_children("prepare_before_threads")]  # a handler that runs before joins
on_inheritable = [_in_children("install_carriers")]  # a handler that children get too
before_end: list[Callable[[], object]] = []  # the process begins to end
after_end: list[Callable[[], object]] = []  # the process ends, and its handlers have run
# What `ending` runs the handlers by, at a normal end; `False` if that was not all.
on_normal_end: list[Callable[[], object]] = []
# The handled signals that this process ends by, from the moment that its end begins.
begun: set[int] = set()


def call_all(hooks: list[Callable[[], object]]) -> None:
    """Call them, the oldest first; what one raises keeps the rest from being called."""
    for hook in hooks:
        hook()
