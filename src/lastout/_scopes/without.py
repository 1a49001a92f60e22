"""BackgroundProcesses: starts processes that are no members of a scope.

Tested by: tests/shared/test_helpers.py
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..errors import UsageError
from ..layout import SCOPE_VARIABLE
from .membership import joining
from .membership.outside import outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class BackgroundProcesses:
    """The part of a `Scope` that keeps processes from becoming members."""

    path: str

    @contextmanager
    def without(self) -> Iterator[None]:
        """Processes that are started in this `with` block are no members of the scope.

        For helpers that live longer than the work in the scope, and need nothing of it.  The
        block counts for this thread and for processes started in it, not for workers that a
        pool starts later.  Children forked in the block are no members.  Other children and
        programs do not find the scope in `LASTOUT_SCOPE`; a process that is given the scope,
        or joins it by its name, joins all the same.

        >>> import lastout, subprocess
        >>> with lastout.Scope() as scope, scope.without():
        ...     helper = subprocess.Popen(["sleep", "0"])
        >>> helper.wait()
        0
        """
        with outside(self.path), _hidden(self.path):
            yield


@contextmanager
def _hidden(path: str) -> Iterator[None]:
    """Keep the scope out of the environment in the block."""
    value = os.environ.get(SCOPE_VARIABLE)
    try:
        named = joining.named_by_environment()
    except UsageError:
        named = None  # only a process that joins by the variable reports the error
    if value is None or not named or os.path.join(*named) != path:
        yield
        return
    del os.environ[SCOPE_VARIABLE]
    try:
        yield
    finally:
        os.environ.setdefault(SCOPE_VARIABLE, value)
