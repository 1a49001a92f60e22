"""Recovery: clean up after dead members without being a member.

Tested by: tests/shared/test_recovery.py
"""

from __future__ import annotations

import os
from time import monotonic

from ..._platform.imports import public
from ...backends.local import LocalBackend
from ...backends.root import check_name
from ...deadline import Deadline
from ...errors import LastoutError, ScopeGone
from ...report import Failure, Outcome, Report
from ..kinds.table import clean
from ..records.scope_lock import ScopeRef
from . import orphans, reaper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...backends.base import Backend
    from .cleaning_pass import Clean


@public
def reap(root: str | os.PathLike[str] | None = None, name: str | None = None) -> Report:
    """Clean up after members that died without leaving.

    `reap` does not touch artifacts that living members may use, so it does nothing if
    all members are alive.  Only workers that are to end with their parent (see `Scope`),
    and whose parent has ended, are ended first.  `reap` waits up to a minute for a
    process that has a scope locked.

    Args:
        root: the directory that the scopes lie in; `None` for the usual directory.
        name: the scope; `None` for all of them.

    Returns:
        A report of all cleanups, failed cleanups included.

    Raises:
        UsageError: there can be no such root or scope.
        RootRefused: the root cannot be trusted.

    >>> import lastout
    >>> lastout.reap(name="nobody-was-here").ok
    True
    """
    backend, began = LocalBackend(root), monotonic()
    names = backend.scopes() if name is None else [check_name(name)]
    found = reap_all(backend, names, name)
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    return Report(every, monotonic() - began)


def do(job: str, root: str, name: str) -> None:
    """Do a job of a guardian, in a process of its own: `"reap"`, or `"orphans"`.

    An artifact that cannot be cleaned stays recorded, and is not reported, because a
    guardian has no user to report to.

    Raises:
        LastoutError, OSError: the scope could not be read.
    """
    scope = ScopeRef(LocalBackend(root), name)
    if job == "reap":
        with scope.lock() as held:
            if held:
                reaper.reap(held, scope.path, clean, Deadline())
    else:
        while _end_orphans(scope)[1]:
            continue  # again, because the ended workers may have had workers of their own


def reap_all(
    backend: Backend, names: Sequence[str], only: str | None = None, clean: Clean = clean
) -> dict[str, list[Outcome]]:
    """Clean up after dead members of these scopes; delete remains of all scopes, or of `only`.

    Returns:
        The outcomes for each scope, by its name.
    """
    found = reap_scopes(backend, names, clean)
    failed = {name for name, ended in found.items() if any(one.failure for one in ended)}
    # Remains that could not be deleted just now are reported already.
    for name, error in backend.tidy(only) if only not in failed else ():
        if name not in failed:
            path = os.path.join(backend.place, name)
            found.setdefault(name, []).append(Outcome(f"scope {path}", 0.0, Failure(error)))
    return found


def reap_scopes(
    backend: Backend, names: Sequence[str], clean: Clean = clean
) -> dict[str, list[Outcome]]:
    """Clean up after dead members of these scopes; returns the outcomes for each.

    After ending processes all scopes are looked at again, because these processes may have
    been the last members of any of them.
    """
    found: dict[str, list[Outcome]] = {name: [] for name in names}
    again = True
    while again:
        again = False
        for name in names:
            outcomes, ended = _reap_one(ScopeRef(backend, name), clean)
            # Without the failures of the round before, which was repeated just now.
            found[name] = [*(one for one in found[name] if one.failure is None), *outcomes]
            again |= ended
    return found


def _reap_one(scope: ScopeRef, clean: Clean) -> tuple[list[Outcome], bool]:
    """Clean up one scope; returns the outcomes, and whether processes were ended."""
    outcomes: list[Outcome] = []
    try:
        with scope.lock() as held:
            if not held:
                return [], False
            reaped = reaper.reap(held, scope.path, clean, Deadline())
        outcomes = [*reaped.outcomes]
        orphaned, ended = ([], False) if reaped.swept else _end_orphans(scope)
        return [*outcomes, *orphaned], reaped.ended or ended
    except (LastoutError, OSError) as error:
        return [*outcomes, Outcome(f"scope {scope.path}", 0.0, Failure(error))], False


def _end_orphans(scope: ScopeRef) -> tuple[list[Outcome], bool]:
    """End the orphans of a scope; returns the outcomes, and whether all have ended."""
    with scope.lock() as held:
        try:
            return orphans.end_in(held, scope.path) if held else ([], False)
        except ScopeGone:
            return [], False  # another process has ended them and cleaned up the scope
