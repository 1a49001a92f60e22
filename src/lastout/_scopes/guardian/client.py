"""Guardian: how the members of a scope see to it that it has one.

    want(), join, fork, record ---> is guardian.lock free? ---> start one, hand the lock over

The guardian is a process of its own (`main`), which reaps as soon as a member
dies.  Nothing depends on it: without one, the next to join, leave or reap
cleans.  So nothing here raises; what keeps it from running is a warning.

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
# Nanoseconds between two looks from `record`, which has no time for more of them.
_PAUSE: Final = 1_000_000_000
_PAUSE_AFTER_FAILURE: Final = 60_000_000_000
_PATIENCE: Final = 10.0  # seconds for a Python process to start
# The text stays for one release, with the place where `main` was: `lastout run` of the version
# before compares it.
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
        """Have one from now on."""
        self._see_to_it(create=True)

    def look(self) -> None:
        """Start one if the scope wants one, and has none any more."""
        self._see_to_it(create=False)

    def forget(self) -> None:
        """This process has left."""
        self.due = _NEVER

    def _see_to_it(self, create: bool) -> None:
        problem = None
        # RuntimeError: an interpreter that ends starts no processes.
        try:
            try:
                lock = take_guard(self._path, create)
            except (FileNotFoundError, NotADirectoryError):
                self.due = _NEVER  # it wants none, or the scope is gone
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
    """The first frame above our caller that is not lastout's, as `warnings.warn` counts."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("lastout."):
        frame, level = frame.f_back, level + 1
    return level


def _start(scope: str, lock: int) -> None:
    """Start a guardian, and wait until it is on its own: a moment later it is nobody's child.

    Raises:
        LastoutError, OSError, RuntimeError: it cannot be started.
    """
    import signal

    told = files.scratch_file()
    # A handler of the user's that waits for just any child is not to see ours.
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
    """What to run: with its scope first, for those who look at a list of processes."""
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
        # Interrupted, or it hangs.
        if process.returncode is None:
            process.kill()
            process.wait()
