"""Joining: how a process joins a scope, and the scopes that it is in.

Tested by: tests/shared/test_joining.py, tests/shared/test_scope.py
"""

from __future__ import annotations

import os

from ..._exits import ending
from ...backends.local import LocalBackend
from ...backends.root import check_name
from ...errors import UsageError
from ...layout import SCOPE_VARIABLE
from ..kinds.table import clean
from ..records.scope_lock import PATIENCE, ScopeRef
from . import handover
from .membership import Membership
from .membership import joined as joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...backends.base import Backend
    from .holder_set import MembershipHolder


def enter(backend: Backend, name: str, holder: MembershipHolder) -> Membership:
    """Join the scope unless this process is in it, and add a holder.

    Raises:
        JournalTooNew, ScopeBusy, SystemRefused, RootRefused: it cannot be joined.
    """
    handover.follow()
    ending.hook_up()
    scope = ScopeRef(backend, name)
    path = scope.path
    while True:
        membership = joined.setdefault(path, Membership(scope, clean))
        with membership.guarded(PATIENCE):
            if joined.get(path) is not membership:
                continue  # another thread has ended this membership just now
            try:
                membership.join()
            finally:
                if not membership.joined:
                    joined.pop(path, None)
            membership.holders.add(holder, membership.token)
            return membership


def latest() -> Membership | None:
    """The membership that this process joined last and is still in."""
    return next((one for one in reversed(list(joined.values())) if one.joined), None)


def named_by_environment() -> tuple[str, str] | None:
    """Root and name of the scope that `$LASTOUT_SCOPE` names.

    Raises:
        UsageError: the value cannot be a scope.
    """
    value = os.environ.get(SCOPE_VARIABLE, "")
    if not value:
        return None
    if "/" not in value:
        return LocalBackend().place, check_name(value)
    if not os.path.isabs(value):
        raise UsageError(f"{SCOPE_VARIABLE}={value!r} is neither a name nor an absolute path")
    root, name = os.path.split(value.rstrip("/"))
    return root, check_name(name)
