"""ForkedCall: a recorded call made by a fork of this process, where no Python can be started.

A frozen program's `sys.executable` is the program itself, so starting it for a callback would
run the whole application again.  A fork can import every function that this process can, also
from bundled modules.  But it has copies of all locks, and not the threads that hold these
locks, so a callback that waits for such a lock hangs until its time is over.

Tested by: tests/shared/test_frozen.py, tests/shared/test_callbacks.py
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl

from ..._platform.process_ends import wait_for_child
from ...backends import descriptors
from . import callback_main, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ...deadline import Deadline


def make(call: Mapping[str, Any], deadline: Deadline) -> None:
    """Make a call that `callback` recorded, with its location as `name`.

    Raises:
        CleanupFailed: the call raised, or ended its process, or no process can be forked.
        CleanupTimeout: the call did not return in time.
    """

    def start(_token: str, output: int, inherited: Mapping[str, str]) -> ForkedCall:
        return ForkedCall(call, output, inherited)

    command.see_through("callback", call["name"], start, call["cwd"], deadline)


class ForkedCall:
    """A forked child that makes a call, with the part of `Popen` that `see_through` uses.

    Args:
        call: the recorded call.
        output: the descriptor of a file for its output.
        environment: its variables.
    """

    def __init__(
        self, call: Mapping[str, Any], output: int, environment: Mapping[str, str]
    ) -> None:
        self.returncode: int | None = None
        parent = os.getpid()
        try:
            self.pid = os.fork()
            if not self.pid:
                _be(call, output, environment)
        finally:
            if os.getpid() != parent:  # also if Ctrl-C came before `_be`
                os._exit(1)
        # By parent and child, so that the child has its own group before the parent may end it.
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)

    def poll(self) -> int | None:
        """The status of the child; `None` if it still runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # another part of the program has waited for it
                self.returncode = 0
            else:
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of the child; returns its status, `None` if it still runs."""
        wait_for_child(self.pid, timeout)
        return self.poll()


def _be(call: Mapping[str, Any], output: int, environment: Mapping[str, str]) -> None:
    """Run the child, and end it; never returns or raises."""
    status = 1
    try:
        os.setpgid(0, 0)
        descriptors.close_inherited()  # else the child would keep the scope locked
        _begin(call, output, environment)
        callback_main.make(call)
        status = 0
    except SystemExit as error:
        status = _status_of(error.code)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


def _begin(call: Mapping[str, Any], output: int, environment: Mapping[str, str]) -> None:
    # 3 or higher, because programs without a terminal may have closed the standard streams.
    output = fcntl(output, F_DUPFD_CLOEXEC, 3)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number, what in enumerate((nothing, output, output)):
        os.dup2(what, number)
    # New objects, because the buffers of the old objects may hold output of the parent.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.stderr = open(2, "w", 1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.chdir(call["cwd"])
    # At the end, because a frozen program unpacks its modules anew, elsewhere, at each start.
    sys.path += [entry for entry in call["path"] if entry not in sys.path]


def _status_of(code: object) -> int:
    """The exit status of Python for an argument of `sys.exit`."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1
