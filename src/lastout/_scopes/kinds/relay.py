"""Relay: how a program ended, also where gevent may have taken its status.

gevent's loop, on the main thread, waits for just any child of the process.  A program that
another thread starts and waits for may be gone by then, and its status with it, and a
command that failed would be taken for done.  So there a shell in between writes it down.

Tested by: tests/shared/test_commands.py, tests/integrations/test_greenlets.py
"""

from __future__ import annotations

import os

from ..._platform import files, genuine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from subprocess import Popen
    from typing import Any, Final

_SCRIPT: Final = 'told=$1; shift; "$@"; echo $? >"$told"'


class OutputRelay:
    """One program to be run.

    Args:
        argv: the program and its arguments.
        how: further arguments for `Popen`.

    Attributes:
        argv: what is to be started instead.
        how: likewise.
    """

    def __init__(self, argv: Sequence[str], how: Mapping[str, Any]) -> None:
        self.argv, self.how = argv, how
        self._told = -1
        if genuine.loses_statuses():
            self._told = files.scratch_file()
            program = how.get("executable", argv[0])
            script = ["/bin/sh", "-c", _SCRIPT, "sh", f"/dev/fd/{self._told}"]
            self.argv = [*script, program, *argv[1:]]
            self.how = {**how, "executable": script[0], "pass_fds": [self._told]}

    def status(self, process: Popen[Any]) -> int:
        """How it ended, when it has: as `Popen.returncode`, or as a shell tells it."""
        if self._told < 0:
            return process.returncode
        written = os.pread(self._told, 16, 0).strip()
        # Without a word of it the shell itself was killed.
        return int(written) if written else process.returncode or 255

    def close(self) -> None:
        """Give back what it takes."""
        if self._told >= 0:
            os.close(self._told)
