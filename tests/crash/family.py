"""The processes of an explorer: it forks them, adopts theirs, and waits for all of them."""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import sys
import traceback
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from lastout import errors
from lastout.backends.guards import is_guardian

from .shim import STOP, Shim

if TYPE_CHECKING:
    from collections.abc import Callable

    from .shim import Event

_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36  # prctl(2)


class Family:
    """Forks processes, and adopts those whose parent is killed.

    Args:
        base: a directory of its own.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._shim = Shim()
        self._problems: list[str] = []
        self._prctl = ctypes.CDLL(None).prctl
        self._prctl(_CHILD_SUBREAPER, 1)

    def _fork(self, act: Callable[[], object]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 9
        try:
            self._prctl(_DEATH_SIGNAL, signal.SIGKILL)  # it may be stopped, or wait for us
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.unraisablehook = self._unraisable
            act()
            status = 0
        except BaseException:
            self._complain(traceback.format_exc())
        finally:
            self._shim.disarm()
            os._exit(status)

    def _unraisable(self, told: sys.UnraisableHookArgs) -> None:
        # What fails on leaving is told so, and may: the next one cleans.
        if not isinstance(told.exc_value, errors.LastoutError | OSError):
            self._complain("".join(traceback.format_exception(told.exc_value)))

    def _complain(self, text: str) -> None:
        self._shim.disarm()
        with open(self._base / "problems", "a", encoding="utf-8") as file:
            file.write(text)

    def _kill_myself(self) -> None:
        self._shim.note("killed")
        os.kill(os.getpid(), signal.SIGKILL)

    def _wait(self, pid: int) -> None:
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return  # its parent waited for it
        self._shim.note("gone", value=pid)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            said = self._said(pid)
            if not _was_of_the_system(said) and not self._is_job(pid):
                told = f"{self._told()}{said}"
                self._problems.append(f"{pid} ended with {os.WEXITSTATUS(status)}: {told}")

    def _told(self) -> str:
        problems = self._base / "problems"
        return problems.read_text() if problems.exists() else ""

    def _is_job(self, pid: int) -> bool:
        """Whether it works for a guardian: that tells it nothing but whether it did its work."""
        born = {event.pid: event.value for event in self._shim.events() if event.what == "born"}
        return born.get(born.get(pid, 0), 0) in self._programs()

    def _said(self, pid: int) -> str:
        """What a program that was to be harmed wrote to its standard error."""
        said = [
            event.more for event in self._shim.events() if (event.what, event.pid) == ("said", pid)
        ]
        return b"".join(said).decode(errors="replace")

    def _wait_for_orphans(self, others: set[int]) -> None:
        """Until those that were forked have ended, and those that were started are running."""
        waited: set[int] = set(others)
        while new := self._forked() - waited:
            for pid in new:
                self._wait(pid)
            waited |= new
        for pid in set(children()) - others:
            while not self._is_program(pid) and os.waitpid(pid, os.WNOHANG) == (0, 0):
                sleep(0.001)  # nothing tells of an exec; the deadline is that of the point

    def _is_program(self, pid: int) -> bool:
        return pid in self._programs() or is_guardian(pid)

    def _programs(self) -> set[int]:
        found = {event.pid for event in self._shim.events() if event.what == "program"}
        return found - {os.getpid()}

    def _forked(self) -> set[int]:
        """Those that were forked, but not by a program: a guardian lives as long as its scope."""
        programs, found = self._programs(), set[int]()
        for event in self._shim.events():
            parent, child = (
                (event.pid, event.value) if event.what == "fork" else (event.value, event.pid)
            )
            if event.what in ("fork", "born") and parent in programs:
                programs.add(child)
            elif event.what in ("fork", "born"):
                found.add(child)
        return found - programs

    def _end_programs(self) -> None:
        """End those that are members of the scope: nobody else does."""
        for pid in children():
            if not is_guardian(pid):
                self._shim.note("gone", value=pid)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _wait_for_guardians(self) -> None:
        """They end when their scope is gone; what they had done by others may be last."""
        while found := children():
            for pid in found:
                self._wait(pid)

    def _end_all(self) -> None:
        while found := children():
            for pid in found:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _was_of_the_system(said: str) -> bool:
    """Whether a guardian gave up for an error of the system; it is for another to go on."""
    kind = said.strip().rpartition("\n")[2].partition(":")[0]
    return issubclass(getattr(builtins, kind, object), OSError)


def is_stop(event: Event) -> bool:
    """Whether a process was stopped there."""
    return event.what == "fault" and event.value == STOP


def state_of(pid: int) -> str:
    """The letter for what a process does, as in `ps`."""
    stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return stat[stat.rindex(")") + 2]


def children() -> list[int]:
    """The children of this process, adopted ones included; it has one thread."""
    return list(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))
