"""GuardianClient: members of a scope start its guardian when it has none.

    want(), join, fork, record ---> is guardian.lock free? ---> start it, hand the lock over

The guardian is a separate process (`main`), which reaps as soon as a member dies.
Nothing depends on it: without it, the next process to join, leave or reap cleans.  So
nothing here raises; if a guardian cannot run, that is a warning.

Tested by: tests/shared/test_guardian.py, tests/cli/test_versions.py
"""

from __future__ import annotations

import os
import sys
import warnings
from time import monotonic_ns

from ..._platform import files, genuine, pids
from ..._platform.interpreter import PACKAGE, PREAMBLE, environment_outside, interpreter, why_none
from ..._platform.process_ends import wait_for_child
from ...backends.guards import take_guard
from ...errors import GuardianWarning, LastoutError, SystemRefused
from ...layout import GUARDIAN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_NEVER: Final = 2**63
# Nanoseconds between two looks from `record`, which has no time for more.
_PAUSE: Final = 1_000_000_000
_PAUSE_AFTER_FAILURE: Final = 60_000_000_000
_PATIENCE: Final = 10.0  # seconds for a Python process to start
# The former module of `main` stays in the text for one release, because `lastout run` of the
# version before compares it.
_PROGRAM: Final = f"{PREAMBLE} from lastout._shared.watch import main; main(*sys.argv[3:])"


class GuardianClient:
    """The guardian of one scope, as a member sees it.

    Args:
        path: the path of the scope.

    Attributes:
        due: when a look is due, in nanoseconds of the monotonic clock; asked on each
            record, so it is a plain number.
    """

    __slots__ = ("_path", "due")

    def __init__(self, path: str) -> None:
        self._path = path
        self.due = _NEVER

    @property
    def wanted(self) -> bool:
        """Whether the scope has, or should have, a guardian, as far as this member knows."""
        return self.due != _NEVER

    def want(self) -> None:
        """Have a guardian for the scope from now on."""
        self._see_to_it(create=True)

    def look(self) -> None:
        """Start a guardian if the scope wants one and has none."""
        self._see_to_it(create=False)

    def forget(self) -> None:
        """Look no more, because this process has left the scope."""
        self.due = _NEVER

    def _see_to_it(self, create: bool) -> None:
        problem = None
        # RuntimeError: an interpreter that ends starts no processes.
        try:
            try:
                lock = take_guard(self._path, create)
            except (FileNotFoundError, NotADirectoryError):
                self.due = _NEVER  # the scope wants no guardian, or was removed
                return
            if lock:
                try:
                    _start(self._path, lock.number)
                finally:
                    lock.close()  # the guardian has it
        except (LastoutError, OSError, RuntimeError) as error:
            problem = error
        self.due = monotonic_ns() + (_PAUSE_AFTER_FAILURE if problem else _PAUSE)
        if problem:
            warnings.warn(
                f"the scope {self._path!r} has no guardian, because none could be started:"
                f" {problem}; it works without one, and the next to join, leave or reap cleans",
                GuardianWarning,
                stacklevel=_level_of_user(),
            )


def _level_of_user() -> int:
    """The level, as `warnings.warn` counts, of the first frame above that is not lastout's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("lastout."):
        frame, level = frame.f_back, level + 1
    return level


def _start(scope: str, lock: int) -> None:
    """Start a guardian, and wait until it has detached from this process.

    Raises:
        LastoutError, OSError, RuntimeError: it cannot be started.
    """
    import signal

    told = files.scratch_file()
    # Blocked, because a handler of the program that waits for any child must not see this child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        status = _run(_command(scope, lock), lock, told)
        if status:
            last = os.pread(told, 4096, max(0, os.fstat(told).st_size - 4096)).splitlines()[-1:]
            why = last[0].decode(errors="replace") if last else f"it ended with status {status}"
            raise SystemRefused(why, path=scope)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(told)


def _command(scope: str, lock: int) -> list[str]:
    """The command of a guardian, with the scope early, for people who list processes."""
    python = interpreter()
    if python is None:
        raise SystemRefused(f"this program {why_none()}, so nothing can run one", path=scope)
    import filelock

    library = os.path.dirname(os.path.dirname(os.path.abspath(filelock.__file__)))
    paths = dict.fromkeys([library, *filter(os.path.isabs, sys.path)])
    isolated = [python, "-I", "-S", "-c", _PROGRAM]
    return [*isolated, GUARDIAN, PACKAGE, scope, str(lock), *paths]


def _run(command: list[str], lock: int, told: int) -> int:
    subprocess = genuine.subprocess()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=told,
        pass_fds=(lock,),
        cwd="/",
        env=environment_outside(),
        start_new_session=True,
    )
    try:
        if pids.has_pidfds():
            wait_for_child(process.pid, _PATIENCE)
        return int(process.wait(_PATIENCE))
    except subprocess.TimeoutExpired as error:
        raise SystemRefused(f"it did not start in {_PATIENCE} s", path=command[0]) from error
    finally:
        # Still running, because it hangs or the wait was interrupted.
        if process.returncode is None:
            process.kill()
            process.wait()
