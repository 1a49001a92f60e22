"""An interactive shell at a terminal of its own, with job control: what a user sits at."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPT = "=ready=> "


class Shell:
    """bash at a pseudo-terminal.

    Args:
        env: its environment.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        bash = shutil.which("bash")
        assert bash, "these tests need bash"
        self._terminal, inner = pty.openpty()
        self._read = ""
        self._closed = False
        self._process = subprocess.Popen(
            # setsid and a controlling terminal, by a program: nothing of ours runs in the child.
            ["setsid", "--ctty", bash, "--norc", "--noprofile", "--noediting", "-i"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**env, "PS1": PROMPT, "TERM": "xterm", "HISTFILE": ""},
        )
        os.close(inner)
        self.until(PROMPT)
        self.run("stty -echo")

    def type(self, keys: str) -> None:
        """Press these keys; Ctrl-A is character 1, and so on."""
        os.write(self._terminal, keys.encode())

    def run(self, line: str, seconds: float = 30.0) -> str:
        """Type a line and wait for the next prompt; what was printed meanwhile."""
        self.type(line + "\n")
        return self.until(PROMPT, seconds)

    def until(self, text: str, seconds: float = 30.0) -> str:
        """Read until this text was printed; what came before it."""
        end = monotonic() + seconds
        while text not in self._read:
            assert select.select([self._terminal], [], [], max(0.0, end - monotonic()))[0], (
                f"{seconds} s without {text!r}: {self._read!r}"
            )
            self._read += os.read(self._terminal, 65536).decode(errors="replace")
        before, _, self._read = self._read.partition(text)
        return before.replace("\r\n", "\n")

    def status(self) -> int:
        """The exit status of the last command."""
        found = re.search(r"status (\d+)", self.run("echo status $?"))
        assert found
        return int(found[1])

    def in_front(self) -> int:
        """The process group that has the terminal."""
        return os.tcgetpgrp(self._terminal)

    def close(self) -> None:
        """Hang up; once."""
        if self._closed:
            return
        self._closed = True
        self._process.send_signal(signal.SIGHUP)
        os.close(self._terminal)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
