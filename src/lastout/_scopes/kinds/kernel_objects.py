"""What the kernel keeps in a namespace, and forgets when the machine starts anew.

System V IPC, POSIX message queues and mounts have no file that anybody could look at.  Their
names and numbers mean something in one namespace only, and in one boot.

Tested by: tests/shared/test_sysv.py, tests/shared/test_mounts.py
"""

from __future__ import annotations

from ..._platform import namespaces, pids
from ...errors import CleanupFailed, SystemRefused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Data

_WORDS = {"ipc": "IPC", "mnt": "mount"}


def facts(sort: str) -> dict[str, object]:
    """Where something is that exists now.

    Args:
        sort: of namespaces, as in `/proc/self/ns`.
    """
    return {"boot": pids.boot_id(), "namespace": namespaces.namespace(sort)}


def may_be_here(kind: str, location: str, data: Data, sort: str) -> bool:
    """Whether to look for it; false if it went with its boot or namespace.

    Raises:
        CleanupFailed: it is in a namespace that this process is not in.
    """
    if data["boot"] != pids.boot_id():
        return False
    if data["namespace"] == namespaces.namespace(sort):
        return True
    if not namespaces.may_be_in_use(sort, data["namespace"]):
        return False
    raise CleanupFailed(
        f"the {kind} {location!r} is in another {_WORDS[sort]} namespace ({data['namespace']}), as"
        " of a container, and cannot be reached from this one; run `lastout reap` there, or forget"
        " it with keep()",
        kind=kind,
        location=location,
    )


def refused(kind: str, location: str, why: str, number: int | None) -> SystemRefused:
    """The error for something that could not be cleaned later, so that it is not recorded."""
    return SystemRefused(
        f"cannot track the {kind} {location!r}: {why}", number=number, path=location
    )
