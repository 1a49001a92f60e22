"""CommandKind: runs a program as the cleanup, such as `docker rm -f NAME`, with a time limit.

The program runs in the recorded directory with the recorded variables, has no input, and has a
process group of its own, which is killed when the time is over.  Its output goes to memory, and
the last part of the output into the error if the program fails.

Tested by: tests/shared/test_commands.py
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress

from ..._platform import files, genuine
from ..._platform.process_ends import wait_for_child
from ...deadline import Deadline, check_seconds
from ...errors import CleanupFailed, CleanupTimeout, UsageError
from ...layout import SCOPE_VARIABLE
from . import paths
from . import popen as processes
from .base import Kind, Recipe
from .process_groups import LAST_PATIENCE, ProcessGroup
from .relay import OutputRelay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final, Protocol

    from .base import AnyPath, Data

    class Running(Protocol):
        """The part of `Popen` that `see_through` uses."""

        pid: int
        returncode: int | Any

        def poll(self) -> int | None: ...
        def wait(self, timeout: float | None = None) -> int | None: ...

    Start = Callable[[str, int, Mapping[str, str]], Running]

TIME_LIMIT: Final = 60.0  # seconds, if the user gives no limit
_TAIL: Final = 2000  # bytes of output in the error
# Because a program that joined the scope could hang: the cleaning process may have it locked.
_NOT_PASSED_ON: Final = frozenset({SCOPE_VARIABLE})


class CommandKind(Kind):
    """A program that is run as the cleanup."""

    name = "command"
    may_need_scope = True

    def limit(self, data: Data) -> float | None:
        """`None`, because `clean` applies the limit that the user gave."""
        return None

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Run the program.

        Raises:
            CleanupFailed: it ended with a status other than 0, or cannot be started.
            CleanupTimeout: it did not end in time, and was killed with its group.
        """
        limit = TIME_LIMIT if data["timeout"] is None else data["timeout"]
        how = {"executable": data["program"], "cwd": data["cwd"], "stdin": subprocess.DEVNULL}
        left = Deadline(deadline.share(False, limit))
        run(self.name, location, data["argv"], how, data["env"], left)

    def describe(self, location: str, data: Data) -> str:
        """Its command line."""
        return " ".join(data["argv"])


def recipe(
    argv: Sequence[processes.Argument],
    *,
    cwd: AnyPath | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Recipe[None]:
    """A program that runs as the cleanup, with its directory and variables.

    Args:
        argv: the program and its arguments; the program is looked up now.
        cwd: the directory that it runs in; the present directory for `None`.
        env: variables to add to the environment of the cleaning process.
        timeout: seconds after which it is killed; 60 for `None`.

    Raises:
        UsageError: the program or directory does not exist, or `argv` is no command.
        TypeError: `argv` is a text instead of a list, or a variable is not text.
    """
    if isinstance(argv, str | bytes | os.PathLike):
        raise TypeError(
            f"a command is a list, such as {shlex.split(os.fsdecode(argv))!r}, not one text;"
            " for a line of shell use ['sh', '-c', line]"
        )
    words = processes.as_text(argv)
    added: dict[Any, Any] = dict(env or {})
    for name, value in added.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"variables must be text, not {name!r}: {value!r}")
    where = paths.resolve("directory", cwd) if cwd is not None else os.getcwd()
    if not os.path.isdir(where):
        raise UsageError(f"there is no directory {where!r} for the command to run in")
    data = {
        "argv": words,
        "program": _found(words[0], where, added.get("PATH")),
        "cwd": where,
        "env": added,
        "timeout": check_seconds(timeout, "timeout"),
    }
    return Recipe(shlex.join(words), data)


def _found(name: str, where: str, path: str | None) -> str:
    # Resolved now, because the cleaning process may have another PATH.
    if os.path.dirname(name):
        name = os.path.join(where, name)
    program = shutil.which(name, path=path)
    if program is None:
        raise UsageError(f"there is no program {name!r} that could be run as a cleanup")
    return os.path.abspath(program)


def run(
    kind: str,
    location: str,
    argv: Sequence[str],
    how: Mapping[str, Any],
    env: Mapping[str, str],
    deadline: Deadline,
) -> None:
    """Run a program until it ends or its time is over.

    Args:
        kind: the kind of the artifact that it cleans, for the errors.
        location: the location of that artifact, for the errors.
        argv: the program and its arguments.
        how: further arguments for `Popen`, including `cwd`.
        env: variables to add to the environment of this process.
        deadline: the time at which the program is killed.
    """

    def start(token: str, output: int, inherited: Mapping[str, str]) -> Running:
        streams = {"stdout": output, "stderr": output, "env": {**inherited, **env}}
        popen = genuine.subprocess().Popen
        return processes.start(token, relay.argv, {**relay.how, **streams}, popen=popen)

    relay = OutputRelay(argv, how)
    try:
        see_through(kind, location, start, how["cwd"], deadline, relay.status)
    finally:
        relay.close()


def see_through(
    kind: str,
    location: str,
    start: Start,
    cwd: str,
    deadline: Deadline,
    status: Callable[[Any], int | None] | None = None,
) -> None:
    """Start a process, and wait until it ends or its time is over.

    Args:
        kind: the kind of the artifact that it cleans, for the errors.
        location: the location of that artifact, for the errors.
        start: starts the process in a group of its own, given a token, a descriptor for its
            output, and its variables.
        cwd: the directory that it runs in.
        deadline: the time at which it is killed, with its group.
        status: returns the status of the ended process; `None` to use its `returncode`.
    """
    if not os.path.isdir(cwd):
        raise _failed(kind, location, f"its directory {cwd!r} is gone")
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    output = files.scratch_file()
    try:
        token = paths.fresh_name(kind)
        try:
            process = start(token, output, inherited)
        # RuntimeError, because an interpreter that ends refuses to fork.
        except (OSError, RuntimeError) as error:
            raise _failed(kind, location, f"it cannot be started: {error}") from error
        in_time = _wait(process, token, deadline)
        said = _tail(output)
    finally:
        os.close(output)
    if not in_time:
        raise CleanupTimeout(
            f"the {kind} {location!r} did not end in its time and was killed{said}",
            kind=kind,
            location=location,
        )
    ended = process.returncode if status is None else status(process)
    if ended:
        raise _failed(kind, location, _describe(ended) + said)


def _wait(process: Running, token: str, deadline: Deadline) -> bool:
    """Wait until a process ends, or kill its group; returns whether it ended by itself."""
    ended = False
    try:
        ended = wait_for_child(process.pid, deadline.left())
    finally:
        # Also if the wait is interrupted, by Ctrl-C or a lack of descriptors.
        if not ended:
            _kill(process, token)
        process.poll()
    return ended


def _kill(process: Running, token: str) -> None:
    try:
        started = processes.started_at(process.pid)
        with ProcessGroup(token, process.pid, started) as group:
            group.end(0, Deadline(LAST_PATIENCE))
    finally:
        # Also without descriptors, because the program must not go on while further artifacts
        # are cleaned.  Safe by number, because the pid is not reused until it is waited for.
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(LAST_PATIENCE)


def _describe(status: int) -> str:
    if status > 0:
        return f"it ended with status {status}"
    try:
        return f"it was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was killed by signal {-status}"


def _tail(output: int) -> str:
    size = os.fstat(output).st_size
    text = os.pread(output, _TAIL, max(0, size - _TAIL)).decode(errors="replace").strip()
    return f"; it said: {text}" if text else "; it said nothing"


def _failed(kind: str, location: str, why: str) -> CleanupFailed:
    return CleanupFailed(f"the {kind} {location!r} failed: {why}", kind=kind, location=location)
