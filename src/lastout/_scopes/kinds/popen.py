"""PopenKind: starts child processes, each in a group of its own, and ends the whole group.

A process is recorded before it exists, when it has no pid.  So the record has a token, which
is also put in the environment of the process (`tokens`).  Pid and start time are added to the
record once the process runs, and identify it from then on.  If the starter is killed in
between, the process is found by its token.

Tested by: tests/shared/test_processes.py
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

from ..._platform import genuine, pids
from ..._platform.genuine import UnpatchedModule
from ..._platform.imports import load
from ...deadline import Deadline, check_seconds
from ...errors import CleanupFailed, CleanupTimeout, UsageError
from ...layout import ARTIFACT_VARIABLE
from . import paths
from .base import Kind, Recipe
from .process_groups import LAST_PATIENCE, ProcessGroup, group_of, session_of
from .tokens import SearchToken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any, Final

    from .base import Data

    Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    Arguments = Sequence[Argument] | Argument

_select = UnpatchedModule("select")
_ELSEWHERE: Final = (
    "the process {} was started in another container, and none like it can be seen from this one;"
    " run `lastout reap` there or outside of containers, or forget it with keep()"
)
_SETTLE: Final = 50  # milliseconds for a new process to execute its program

# The `Popen` objects of this process's children.  Kept, because only a parent can wait for its
# children, and Python warns of a `Popen` object that is dropped while its process runs.
_ours: dict[tuple[int, str], subprocess.Popen[Any]] = {}


class PopenKind(Kind):
    """A process that a scope started, with its whole group."""

    name = "popen"
    ends_processes = True
    may_need_scope = True

    def limit(self, data: Data) -> float | None:
        """`None`, because the grace that the user chose may be longer than any other limit."""
        return None

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """End a process with its whole group: SIGTERM, the recorded grace, SIGKILL.

        The call returns when all members have ended.  If this process started the group, the
        `Popen` object has the status then.

        Raises:
            CleanupTimeout: some members did not end even by SIGKILL, or not in time.
            CleanupFailed: the process was started in another container, and cannot be seen from
                here; or the leader is gone, and no proof tells whether processes in a group of
                that number are members.
        """
        if data["boot"] != pids.boot_id():
            return  # no process outlives a reboot
        here = data["namespace"] == pids.pid_namespace()
        left, seen, unverified_members = _end(location, data, deadline, known=here)
        process = _ours.get((os.getpid(), location))
        if process is not None:
            # Polled only now, because the leader proves who is a member until it is waited for.
            process.poll()
        if left:
            raise CleanupTimeout(_what_remains(data, left), kind=self.name, location=location)
        why = ""
        if unverified_members:
            why = _what_may_be_of_it(data, unverified_members)
        elif not here and not seen and not pids.sees_all_processes():
            why = _ELSEWHERE.format(data["argv"])
        if why:
            raise CleanupFailed(why, kind=self.name, location=location)
        self.forget(location, data)

    def forget(self, location: str, data: Data) -> None:
        """Drop the `Popen` object, because from now on the user waits for the process."""
        _ours.pop((os.getpid(), location), None)

    def describe(self, location: str, data: Data) -> str:
        """Its command line."""
        return " ".join(data["argv"])

    def ends(self, location: str, data: Data, processes: Collection[int]) -> bool:
        """Whether any of these processes has its token, or is in its group."""
        token, leader = SearchToken(location, bool(data.get("tree"))), data.get("pid")
        return any(
            token.is_of(pid) or (leader is not None and group_of(pid) == leader)
            for pid in processes
        )


def recipe(
    argv: Arguments,
    options: Mapping[str, Any] | None = None,
    *,
    grace: float = 5.0,
    tree: bool = False,
) -> Recipe[subprocess.Popen[Any]]:
    """A process to be started in a group of its own; its pid is not known yet.

    Args:
        argv: the program and its arguments, as for `subprocess.Popen`.
        options: the keyword arguments for `Popen`, read when the process is started.
        grace: seconds between SIGTERM and SIGKILL.
        tree: whether descendants that have left the group are ended too, if they can be found.

    Raises:
        UsageError: the arguments are not possible, or this system cannot end processes safely.
        TypeError: `argv` or `grace` are of a wrong type.
        OSError: from `create`, if there is no such program, or it cannot be started.
    """
    options = {} if options is None else options
    patience = check_seconds(grace, "grace")
    if patience is None:
        raise UsageError("grace must be a number of seconds: something has to end the process")
    if options.get("process_group") not in (None, 0):
        raise UsageError(
            "process_group must not be given: the process gets a group of its own, so that all"
            " of it can be ended"
        )
    if not pids.has_pidfds():
        raise UsageError(
            "processes cannot be ended safely here: it takes Linux 5.3 or later, /proc, and a"
            " sandbox that allows pidfd_open"
        )
    token = paths.fresh_name("popen")
    data = {
        "argv": as_text(argv),
        "grace": patience,
        "boot": pids.boot_id(),
        "namespace": pids.pid_namespace(),
        **({"tree": True} if tree else {}),
    }
    return Recipe(token, data, lambda: _create(token, argv, options, tree))


def as_text(argv: Arguments) -> list[str]:
    """`argv` as it is recorded; a single text, for a shell, becomes a list with one item."""
    if isinstance(argv, str | bytes | os.PathLike):
        argv = [argv]
    words = [os.fsdecode(word) for word in argv]
    if not words or not words[0] or any("\0" in word for word in words):
        raise UsageError(f"{argv!r} is no command: it is empty, or has a NUL in it")
    return words


def start(
    token: str, argv: Arguments, options: Mapping[str, Any], tree: bool = False, popen: Any = None
) -> subprocess.Popen[Any]:
    """Start a process with a token, and in a group of its own.

    Args:
        token: the name of the token.
        argv: the program and its arguments.
        options: the keyword arguments for `Popen`.
        tree: whether descendants have to be recognized even outside of the group.
        popen: the class that starts the process; `None` for the user's `subprocess.Popen`,
            except outside of the main thread if gevent patched it, because gevent's is for the
            main thread only.
    """
    if popen is None:
        popen = (genuine.subprocess() if genuine.loses_statuses() else subprocess).Popen
    given = options.get("env")
    environment = {**(os.environ if given is None else given), ARTIFACT_VARIABLE: token}
    own_group = {} if options.get("start_new_session") else {"process_group": 0}
    known = SearchToken(token)
    load("resource")  # for marks; now, because a failure later could lose the running process
    try:
        process: subprocess.Popen[Any] = popen(argv, **{**options, **own_group, "env": environment})
    except OSError:
        _end_begun(token)
        raise
    # Also without `tree`, because this process may be in a tree, to which the new process must
    # not belong.
    known.put_on(process.pid)
    if tree:
        with suppress(OSError):  # no descriptors are left, but the running process must not be lost
            known.put_on_early_children(process.pid)
    return process


def _end_begun(token: str) -> None:
    """End a process that was started although `Popen` raised an error."""
    # An OSError means that no descriptors are left, so that none were left to start a process.
    with suppress(OSError), ProcessGroup(token, None, None) as group:
        group.end(0, Deadline(LAST_PATIENCE))


def _create(
    token: str, argv: Arguments, options: Mapping[str, Any], tree: bool
) -> tuple[subprocess.Popen[Any], Data]:
    process = start(token, argv, options, tree)
    _ours[os.getpid(), token] = process
    pid = process.pid
    return process, {"pid": pid, "started": started_at(pid), "session": session_of(pid)}


def started_at(pid: int) -> int | None:
    """The start time of a process; `None` if unknown, so only the token identifies it."""
    try:
        facts = pids.process_facts(pid)
    except OSError:  # no descriptors are left
        return None
    return facts.started if facts else None


def _what_remains(data: Data, left: list[int]) -> str:
    return (
        f"of the process {data['argv']} and its group these did not end in their time: pids"
        f" {', '.join(map(str, left))}"
    )


def _what_may_be_of_it(data: Data, unverified_members: list[int]) -> str:
    return (
        f"the process {data['argv']} has ended; whether others in a group of its number,"
        f" {data['pid']}, are what it started cannot be told: pids"
        f" {', '.join(map(str, unverified_members))}; end them if they are, or forget it"
        " with keep()"
    )


def _end(
    token: str, data: Data, deadline: Deadline, known: bool
) -> tuple[list[int], int, list[int]]:
    """End the group; returns survivors, the number of members, and unverified members."""
    pid = data.get("pid") if known else None
    with ProcessGroup(token, pid, data.get("started"), data.get("tree", False)) as group:
        left = group.end(data["grace"], deadline)
        if pid is None and not group.seen:
            # The starter was killed while it started the process.  Between fork and exec the
            # child has the starter's environment, and no event tells when it gets its own.
            _select.select([], [], [], _SETTLE / 1000)
            left = group.end(data["grace"], deadline)
        return left, group.seen, group.unverified_members(data.get("session"))
