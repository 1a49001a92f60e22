"""Recovery: clean up after the dead without being a member."""

from __future__ import annotations

import os

from .._process.deadline import Deadline
from .._process.report import Failure, Outcome, Report
from ..backends.local import LocalBackend
from ..backends.root import check_name
from ..errors import LastoutError
from . import reaper
from .cleaners import clean
from .hold import hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..backends.base import Backend


def reap(root: str | os.PathLike[str] | None = None, name: str | None = None) -> Report:
    """Clean up after members that died without leaving.

    What living members may use is not touched: nothing is done where all are
    alive.  It waits for whoever holds a scope, up to a minute for each.

    Args:
        root: the directory that the scopes lie in; `None` for the usual one.
        name: the scope; `None` for all of them.

    Returns:
        A report of what was cleaned, and of what could not be.

    Raises:
        UsageError: there can be no such root or scope.
        RootRefused: the root cannot be trusted.

    >>> import lastout
    >>> lastout.reap(name="nobody-was-here").ok
    True
    """
    backend = LocalBackend(root)
    names = backend.scopes() if name is None else [check_name(name)]
    outcomes: list[Outcome] = []
    for scope in names:
        outcomes += _reap_one(backend, scope)
    if name is None:
        outcomes += [Outcome("garbage", 0.0, Failure(error)) for error in backend.tidy()]
    return Report(outcomes)


def _reap_one(backend: Backend, scope: str) -> list[Outcome]:
    path = os.path.join(backend.place, scope)
    try:
        with hold(backend, scope, path) as held:
            return list(reaper.reap(held, path, clean, Deadline()).outcomes) if held else []
    except (LastoutError, OSError) as error:
        return [Outcome(f"scope {path}", 0.0, Failure(error))]
