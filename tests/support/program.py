"""A script in a process of its own, that a test starts, watches and acts on."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import lastout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
ALL_LAZILY = os.environ.get("IMPORT_LAZILY") == "1"
IMPORTED_FROM = str(Path(lastout.__path__[0]).parent)


class Ended(NamedTuple):
    """How a program ended: exit status (-n if signal n killed it), and what it printed."""

    status: int
    out: str
    err: str


class Program:
    """A Python script that runs in a process and a session of its own.

    Args:
        text: the script; its indentation is taken off.
        directory: where it is written and runs; its files stay for the test to look at.
        args: its command-line arguments.
        modules: other modules it can import: name, with a directory or not, to text.
        env: variables set for it on top of the test's own; `None` takes one away.
        isolated: run it by `python -I -S`; lastout and `say` can be imported all the same.
        python: the interpreter.
        lazily: import lazily all that can be (PEP 810), as all programs do for IMPORT_LAZILY=1.
    """

    def __init__(
        self,
        text: str,
        directory: Path,
        *,
        args: Sequence[str] = (),
        modules: Mapping[str, str] | None = None,
        env: Mapping[str, str | None] | None = None,
        isolated: bool = False,
        python: str = sys.executable,
        lazily: bool = ALL_LAZILY,
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / "said"
        self._log.touch()
        os.mkfifo(f"{self._log}.bell")
        shutil.copy(HERE / "say.py", directory)
        for name, source in (modules or {}).items():
            module = directory / f"{name}.py"
            module.parent.mkdir(exist_ok=True)
            module.write_text(dedent(source))
        script = directory / "program.py"
        paths = f"import sys; sys.path[:0] = {[str(directory), IMPORTED_FROM]}\n"
        script.write_text((paths if isolated else "") + dedent(text))
        self._closed = False
        # Held open for writing too, so that it never reports an end.
        self._bell = os.open(f"{self._log}.bell", os.O_RDWR | os.O_NONBLOCK)
        flags = ["-I", "-S"] if isolated else []
        flags += ["-X", "lazy_imports=all"] if lazily else []  # spawned children have it too
        with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
            # Files, not pipes: a grandchild that lives on cannot hold up the test.
            self._process = subprocess.Popen(
                [python, *flags, str(script), *args],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=directory,
                env=self._environment(env or {}),
                start_new_session=True,
            )

    def _environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        # The program runs elsewhere than the tests: `PYTHONPATH=src` has to mean the same there.
        paths = [
            os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p
        ]
        found = {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
        wanted = {
            **os.environ,
            **found,
            "SAY_TO": str(self._log),
            "PYTHONFAULTHANDLER": "1",
            **changes,
        }
        # What a test starts is no worker of pytest-xdist, though the test may run in one.
        return {
            name: value
            for name, value in wanted.items()
            if value is not None and not name.startswith("PYTEST_XDIST_")
        }

    @property
    def pid(self) -> int:
        """The process id of the program itself."""
        return self._process.pid

    @property
    def lines(self) -> list[str]:
        """What its processes said so far, in order."""
        return self._log.read_text().splitlines()

    @property
    def running(self) -> bool:
        """Whether the program itself has not ended yet."""
        return self._process.poll() is None

    def wait_for(self, line: str, count: int = 1, seconds: float = 30.0) -> None:
        """Wait until `line` was said `count` times, by any of its processes.

        Raises:
            AssertionError: it was not in `seconds`, or the program ended without it.
        """
        end = monotonic() + seconds
        while self.lines.count(line) < count:
            over = not self.running  # looked at before the lines, which may come last
            if self.lines.count(line) >= count:
                return
            assert not over, f"the program ended and never said {line!r}{self._account()}"
            if monotonic() >= end:
                raise AssertionError(f"{seconds} s without {line!r}{self._stacks()}")
            # Short, because the program's own end rings no bell.
            if select.select([self._bell], [], [], min(0.1, max(0.0, end - monotonic())))[0]:
                os.read(self._bell, 65536)

    def tell(self, line: str = "") -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def signal(self, signum: int) -> None:
        """Send a signal to the program itself."""
        self._process.send_signal(signum)

    def has_ended(self) -> bool:
        """Whether the program itself has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill the program itself, and nothing else, by SIGKILL."""
        self._process.kill()

    def interrupt(self) -> None:
        """Send SIGINT to it and to all processes of its group, as Ctrl-C does."""
        os.killpg(self.pid, signal.SIGINT)

    def end(self, seconds: float = 60.0) -> Ended:
        """Wait until the program itself ends; says how it did.

        Raises:
            AssertionError: it did not in `seconds`; the stacks of its threads are in the text.
        """
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s{self._stacks()}") from None
        return Ended(status, self._printed("out"), self._printed("err"))

    def close(self) -> None:
        """End what is left of its process group, and let go of its pipes; once."""
        if self._closed:
            return
        self._closed = True
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # told more than it read
                self._process.stdin.close()
        self._process.wait()
        os.close(self._bell)

    def _printed(self, name: str) -> str:
        return (self.directory / name).read_text(errors="replace")

    def _stacks(self) -> str:
        self.signal(signal.SIGABRT)  # faulthandler prints the stack of each thread
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        return self._account()

    def _account(self) -> str:
        said = "\n".join(self.lines)
        return (
            f"; status {self._process.returncode}\n--- said\n{said}"
            f"\n--- out\n{self._printed('out')}\n--- err\n{self._printed('err')}"
        )
