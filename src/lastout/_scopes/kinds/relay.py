"""OutputRelay: the exit status of a program, even if gevent may have taken it.

gevent's loop, on the main thread, waits for any child of the process.  It may take the status
of a program that another thread has started and waits for, and then a failed command would
count as done.  So in such a process a shell runs the program and writes the status to a file.

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
        argv: the program to start, with its arguments: the shell, or the given program.
        how: the arguments for `Popen` that go with it.
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
        """The status of the ended program, as `Popen.returncode` or as a shell reports it."""
        if self._told < 0:
            return process.returncode
        written = os.pread(self._told, 16, 0).strip()
        # The file is empty if the shell itself was killed.
        return int(written) if written else process.returncode or 255

    def close(self) -> None:
        """Close the file for the status."""
        if self._told >= 0:
            os.close(self._told)
