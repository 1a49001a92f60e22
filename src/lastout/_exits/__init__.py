"""One process: exit handlers lie on a stack, and an event unwinds it.

    register() · @handler ==> registry ==> stack
    exit · signal · end of a child ==> unwind(deadline) ==> Report

Only the standard library is imported here, and of that nothing slow to load.

Tested by: tests/test_frame.py, tests/process/test_other_systems.py
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


# Hooks by which the registry calls functions of `children`, because it does not import that.
on_first_registration = [_in_children("arm")]
on_before_threads = [_in_children("prepare_before_threads")]  # a handler with `before_threads`
on_inheritable = [_in_children("install_carriers")]  # a handler with `inherit` is registered
before_end: list[Callable[[], object]] = []  # the process begins to end
after_end: list[Callable[[], object]] = []  # the process ends, and its handlers have run
# At a normal end `ending` runs the handlers by this hook; `False` if some are left for later.
on_normal_end: list[Callable[[], object]] = []
# The handled signals that this process is ending by, from the moment that its end begins.
begun: set[int] = set()


def call_all(hooks: list[Callable[[], object]]) -> None:
    """Call each hook, the oldest first; an exception of one hook stops the call of the rest."""
    for hook in hooks:
        hook()
