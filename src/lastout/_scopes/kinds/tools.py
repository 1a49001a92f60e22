"""Tools: programs that answer a question, or do a part of a cleanup.

Tested by: tests/shared/test_containers.py, tests/shared/test_urls.py
"""

from __future__ import annotations

import os
import subprocess

from ..._platform import files, genuine
from . import command
from . import popen as processes
from .relay import OutputRelay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...deadline import Deadline


def output_of(
    kind: str,
    location: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    deadline: Deadline,
) -> str:
    """What a program prints; in a directory that is always there, and with nothing to read.

    Args:
        kind: the kind of the artifact that it is about, for the errors.
        location: its location, for the errors.
        argv: the program, by its full path, and its arguments.
        env: variables on top of this process's own.
        deadline: when it is killed, with its group.

    Raises:
        CleanupFailed: it ended with another status than 0; what it said of that is in the text.
        CleanupTimeout: it did not end in time.
    """

    def start(token: str, errors: int, inherited: Mapping[str, str]) -> command.Running:
        streams = {"stdout": printed, "stderr": errors, "env": {**inherited, **env}}
        popen = genuine.subprocess().Popen
        return processes.start(token, relay.argv, {**relay.how, **streams}, popen=popen)

    printed = files.scratch_file()
    relay = OutputRelay(argv, {"cwd": "/", "stdin": subprocess.DEVNULL})
    try:
        command.see_through(kind, location, start, "/", deadline, relay.status)
        size = os.fstat(printed).st_size
        return os.pread(printed, size, 0).decode(errors="surrogateescape")
    finally:
        relay.close()
        os.close(printed)
