"""Forked: a recorded call made by a fork of this process, where no Python can be started.

A frozen program's `sys.executable` is the program itself: started for a callback, the whole
application would run once more.  A fork has all that the function may be imported from,
bundled modules too.  It also has a copy of everything else, so what a callback does with the
locks of threads that the fork does not have may hang it: until its time is over.

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
    """Make a call as `callback` recorded it, with its location as `name`.

    Raises:
        CleanupFailed: it raised, or ended its process, or nothing can be forked any more.
        CleanupTimeout: it did not return in its time.
    """

    def start(_token: str, output: int, inherited: Mapping[str, str]) -> ForkedCall:
        return ForkedCall(call, output, inherited)

    command.see_through("callback", call["name"], start, call["cwd"], deadline)


class ForkedCall:
    """A forked child that makes a call, with as much of `Popen` as is used here.

    Args:
        call: what it calls.
        output: where what it prints goes.
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
            if os.getpid() != parent:  # also where Ctrl-C came before it could begin
                os._exit(1)
        # By both of us: whoever is first, it has its own group before anybody ends that.
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)

    def poll(self) -> int | None:
        """Its status if it has ended."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                self.returncode = 0
            else:
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; its status, `None` if it goes on."""
        wait_for_child(self.pid, timeout)
        return self.poll()


def _be(call: Mapping[str, Any], output: int, environment: Mapping[str, str]) -> None:
    """Be the child: nothing comes out of here."""
    status = 1
    try:
        os.setpgid(0, 0)
        descriptors.close_inherited()  # the scope is held by who cleans, not by us
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
    # Programs without a terminal may have closed the first three.
    output = fcntl(output, F_DUPFD_CLOEXEC, 3)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number, what in enumerate((nothing, output, output)):
        os.dup2(what, number)
    # New ones: in the old ones may be what this process has yet to print.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.stderr = open(2, "w", 1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.chdir(call["cwd"])
    # Behind ours: what a frozen program unpacks for itself lies in another place each time.
    sys.path += [entry for entry in call["path"] if entry not in sys.path]


def _status_of(code: object) -> int:
    """The status that Python ends with for what `sys.exit` was given."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1
