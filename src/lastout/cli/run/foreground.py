"""Running a command in the foreground, as a shell does.

    signal to lastout             --> the command                    once, from any sender
    Ctrl-C, Ctrl-Z, a new size    --> its whole group                as the terminal would
    the command stops             --> lastout stops as well, so the shell takes over
    the shell continues lastout   --> its whole group, with the terminal if lastout has that

The command has a process group of its own, so that no signal reaches it twice.  If lastout
is alone in its group, the command gets the terminal at once; in a pipeline it gets the
terminal when it asks, which is when the kernel stops it for reading.

Tested by: tests/cli/test_foreground.py, tests/cli/test_run_terminal.py
"""

from __future__ import annotations

import os
import signal

from ..output import print_error
from .terminal import ControllingTerminal, is_alone_in_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from subprocess import Popen
    from typing import Any, Final

    from ...deadline import Deadline

# Signals that cannot be passed on, or are about this process alone.
_NOT_PASSED_ON: Final = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}
_KEYS: Final = {signal.SIGINT, signal.SIGQUIT}
_ASKS: Final = {signal.SIGTTIN, signal.SIGTTOU}
# Until the command runs these keep their usual effect.
_JOB_CONTROL: Final = {signal.SIGTSTP, signal.SIGCONT, *_ASKS}


class ForegroundCommand:
    """One command, from its start to its end, with the signals and the terminal of this process.

    Args:
        start: starts the command, in a process group of its own.

    Attributes:
        process: the command, once it was started.
        interrupted: whether Ctrl-C at the terminal ended it.
    """

    def __init__(self, start: Callable[[], Popen[Any]]) -> None:
        self._start = start
        self._terminal = ControllingTerminal.find()
        self._early: list[int] = []
        self._ctrl_c = False
        self._group_was_told = False
        self.process: Popen[Any] | None = None
        self.interrupted = False

    def run(self, limit: Deadline) -> int | None:
        """Start it and wait for its end.

        Returns:
            Its status as `Popen.returncode` has it; `None` if the time was over first.

        Raises:
            OSError: it could not be started.
        """
        ignored = {n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN}
        passed_on = signal.valid_signals() - _NOT_PASSED_ON - ignored
        # Not ignored, because a process that ignores SIGCHLD cannot wait for children.
        before = {signal.SIGCHLD: signal.signal(signal.SIGCHLD, signal.SIG_DFL)}
        for caught in passed_on - _JOB_CONTROL:
            before[caught] = signal.signal(caught, self._note)
        waited_for = {*passed_on, signal.SIGCHLD}
        mask: set[int] = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            process = self.process = self._start()
            # Only now, because the command would inherit blocked signals.
            signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
            in_front = self._terminal is not None and self._terminal.is_ours()
            for early in self._early:
                self._pass_on(early, from_terminal=in_front and early in _KEYS)
            if self._terminal and in_front and is_alone_in_group():
                self._terminal.lend(process.pid)
            return self._wait(process, waited_for, limit)
        finally:
            if self._terminal and self.process:
                signal.pthread_sigmask(signal.SIG_BLOCK, _ASKS)
                self._terminal.take_back(self.process.pid)
            for signum, handler in before.items():
                signal.signal(signum, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def close(self) -> None:
        """Let go of the terminal."""
        if self._terminal:
            self._terminal.close()

    def _note(self, signum: int, _: object) -> None:
        self._early.append(signum)

    def _wait(
        self, process: Popen[Any], waited_for: Collection[int], limit: Deadline
    ) -> int | None:
        while True:
            status = self._look(process)
            if status is not None:
                lent = self._terminal is not None and self._terminal.lent
                self.interrupted = status == -signal.SIGINT and (lent or self._ctrl_c)
                return status
            left = limit.left()
            if left is None:
                came: signal.struct_siginfo | None = signal.sigwaitinfo(waited_for)
            else:
                came = signal.sigtimedwait(waited_for, left)
            if came is None:
                return None
            self._obey(came, process)

    def _look(self, process: Popen[Any]) -> int | None:
        """The status of the command if it has ended; waits for ended orphans on the way."""
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == process.pid:
                return process.poll()
            os.waitpid(ended.si_pid, 0)
        stopped = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG)
        if stopped and self._terminal:
            self._stop_too(stopped.si_status, process.pid, self._terminal)
        return None

    def _stop_too(self, signum: int, group: int, terminal: ControllingTerminal) -> None:
        """Stop this process because the command was stopped, so that the shell notices."""
        if signal.SIGCONT in signal.sigpending():
            return  # the shell is continuing this process, which will continue the command
        # The command may have asked for the terminal just before it was lent.
        if signum in _ASKS and (terminal.is_ours() or terminal.is_with(group)):
            terminal.lend(group)
            self._send(signal.SIGCONT, group=True)
            return
        terminal.take_back(group)
        # The whole group stops, because the terminal would have stopped it with this process.
        told, self._group_was_told = self._group_was_told, False
        os.kill(os.getpid() if told or signum == signal.SIGSTOP else 0, signum)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
        # The kernel does not stop an orphaned group, which no shell could continue.  Then the
        # command goes on, because it alone would stand still for ever.
        if signum == signal.SIGTSTP and signal.SIGCONT not in signal.sigpending():
            self._on_continue(group)

    def _on_continue(self, group: int) -> None:
        terminal = self._terminal
        if terminal and terminal.is_ours() and (terminal.lent or is_alone_in_group()):
            terminal.lend(group)
        self._send(signal.SIGCONT, group=True)

    def _obey(self, came: signal.struct_siginfo, process: Popen[Any]) -> None:
        signum = came.si_signo
        from_terminal = came.si_code > 0  # sent by the kernel
        if signum == signal.SIGCONT:
            self._on_continue(process.pid)
        elif signum == signal.SIGCHLD or signum in _ASKS:
            return
        else:
            self._pass_on(signum, from_terminal)

    def _pass_on(self, signum: int, from_terminal: bool) -> None:
        """Pass a signal on to as many: from the terminal to the group, else to one process."""
        self._ctrl_c |= from_terminal and signum == signal.SIGINT
        self._group_was_told = from_terminal and signum == signal.SIGTSTP
        self._send(signum, group=from_terminal)

    def _send(self, signum: int, group: bool = False) -> None:
        assert self.process is not None
        try:
            # The pid cannot be reused yet, because only this process waits for the command.
            (os.killpg if group else os.kill)(self.process.pid, signum)
        except ProcessLookupError:
            return  # its group is empty, so the command has ended: the next look sees that
        except PermissionError:
            print_error(f"signal {signum} was not passed on: the program is another user's")
