"""`lastout run`: run a program in a scope, and leave nothing of it behind.

join a scope ==> start the command, a member that goes with this process
             ==> wait for it (see `foreground`)
             ==> end what it left running, but for what the scope has in its order
             ==> leave, which cleans that in order
             ==> end what is still there

Tested by: tests/cli/test_run.py, tests/cli/test_run_faults.py
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import warnings
from contextlib import contextmanager
from errno import ENOENT, ENOEXEC, ENOTDIR
from time import monotonic_ns

from ... import Scope, _platform
from ..._platform import pids
from ..._scopes.kinds.process_groups import LAST_PATIENCE
from ..._scopes.kinds.table import flags
from ..._scopes.kinds.tokens import SearchToken
from ...deadline import Deadline
from ...errors import LastoutError, UsageError
from ..output import describe_error, print_error
from .descendants import DescendantGroup, belongs_to_artifact
from .foreground import ForegroundCommand
from .interruptible_wait import InterruptibleWait, WaitInterrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence
    from subprocess import Popen
    from typing import Any, Final

TIMED_OUT: Final = 124
TROUBLE: Final = 125
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127


def run_program(options: Namespace) -> int:
    """Run the command; returns the status that a shell would show for it."""
    if options.timeline:
        from ..timeline.picture import check_picture

        check_picture(options.timeline)
    try:
        with warnings.catch_warnings(record=True) as told:
            scope = Scope(options.name, root=options.root, guardian=options.guardian)
    except UsageError:
        raise
    except LastoutError as error:
        print_error(str(error))
        return TROUBLE
    for one in told:
        print_error(str(one.message))
    pids.adopt_orphans()
    running = ForegroundCommand(lambda: _start(scope, options.command, options.grace))
    title = shlex.join(options.command)
    with _picture(scope, options.timeline, title), InterruptibleWait() as wait:
        try:
            status = _status(running, options)
        finally:
            _end(scope, running.process, options.grace, wait)
            running.close()
    if running.interrupted:
        # By the signal itself, because a shell script around lastout stops only then.
        _platform.die_of(signal.SIGINT)
    return status


@contextmanager
def _picture(scope: Scope, path: str | None, title: str) -> Iterator[None]:
    """Draw a picture of the block's events, if a path is given."""
    if path is None:
        yield
        return
    from ..timeline.history import read_history
    from ..timeline.picture import write_picture
    from ..timeline.recorder import JournalRecorder

    with JournalRecorder(os.path.dirname(scope.path), scope.name) as recorder:
        yield
        recorder.stop()
        names = {os.getpid(): "lastout run"}
        past = read_history(recorder.journals(), monotonic_ns(), (), recorder.gone, names)
    try:
        write_picture(title, past, path)
    except LastoutError as error:
        print_error(str(error))


def _status(running: ForegroundCommand, options: Namespace) -> int:
    try:
        status = running.run(Deadline(options.timeout))
    except OSError as error:
        command = options.command[0]
        if isinstance(error, LastoutError):
            print_error(f"cannot run {command!r}: {error}")
            return TROUBLE
        print_error(f"cannot run {command!r}: {error.strerror or error}")
        return {ENOENT: NOT_FOUND, ENOTDIR: NOT_FOUND}.get(error.errno or 0, NOT_EXECUTABLE)
    if status is None:
        print_error(f"{options.command[0]!r} is ended: it was not done in {options.timeout:g} s")
        return TIMED_OUT
    return 128 - status if status < 0 else status


def _start(scope: Scope, command: Sequence[str], grace: float) -> Popen[Any]:
    options: dict[str, Any] = {
        "lifetime": "member",  # because this member waits for it
        "grace": grace,
        "member": True,
        "tree": True,
    }
    if not command[0]:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
    try:
        return scope.popen(command, **options)
    except OSError as error:
        found = shutil.which(command[0])
        if error.errno == ENOEXEC and found:
            # As shells do, run a script without `#!` by `/bin/sh`.
            return scope.popen(["/bin/sh", found, *command[1:]], **options)
        if error.errno == ENOENT and found:
            why = "what its first line names to run it is not there"
            raise FileNotFoundError(ENOENT, why) from error
        raise


def _end(scope: Scope, process: Popen[Any] | None, grace: float, wait: InterruptibleWait) -> None:
    """End what the command has left, and leave the scope, which cleans it."""
    spared = _artifacts_of(scope, process)
    _end_descendants(spared, grace, wait)
    if process:
        process.poll()
    try:
        with wait.limited():
            report = scope.leave()
    except WaitInterrupted:
        print_error(f"not all was cleaned: interrupted; `lastout reap {scope.name}` does the rest")
        return
    for outcome in report:
        if outcome.failure:
            print_error(f"not cleaned: {outcome.name}: {describe_error(outcome.failure.exception)}")
    if not report.ok:
        print_error(f"`lastout reap {scope.name}` tries again")
    # Artifacts are spared if the scope still exists, because its other members may use them.
    _end_descendants(spared if os.path.exists(scope.path) else _nobody, grace, wait)


def _end_descendants(spared: Callable[[int], bool], grace: float, wait: InterruptibleWait) -> None:
    with DescendantGroup(spared) as running:
        try:
            with wait.limited():
                left = running.end_all(grace, Deadline(grace + LAST_PATIENCE))
        except WaitInterrupted:
            left = running.end_all(0, Deadline(LAST_PATIENCE))
    if left:
        print_error(f"these did not end even by SIGKILL: pids {', '.join(map(str, left))}")


def _artifacts_of(scope: Scope, command: Popen[Any] | None) -> Callable[[int], bool]:
    """A test whether a process, by its pid, is an artifact, which the scope cleans in its order."""
    ours = scope.artifact_of(command) if command else None
    try:
        every = scope.artifacts()
        found = [one for one in every if flags(one.kind).ends_processes and one != ours]
    except LastoutError:
        return _nobody  # leaving says why
    tokens = [SearchToken(one.location) for one in found]
    groups = {one.data["pid"] for one in found if "pid" in one.data}
    return lambda pid: belongs_to_artifact(tokens, groups, pid)


def _nobody(_: int) -> bool:
    return False
