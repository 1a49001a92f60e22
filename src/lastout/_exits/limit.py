"""Limit: so many seconds for the end of this process, kept by another one (`keeper`).

    keep(3.0, {SIGTERM}, pipe) ==> keeper                    this process may be in C code that
    begin()                    ==> the clock runs            keeps the interpreter lock, or in a
    call_off()                 ==> it does not               function of atexit that hangs
    stop()                     ==> no limit any more

A forked child has the same limit, by the same keeper.
"""

from __future__ import annotations

import os
import sys

from .._platform import pids
from .._platform.interpreter import PACKAGE, PREAMBLE, environment_outside, interpreter, why_none
from .._platform.masks import AllBlocked
from ..errors import UsageError
from ..layout import KEEPER
from . import signal_end
from .children import follow_end, follow_forks
from .keeper import BEGIN, CALL_OFF

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable

    # Seconds, signals, and what gives the descriptors of the wakeup pipe, if there is one.
    Terms = tuple[float, tuple[int, ...], Callable[[], tuple[int, ...]]]

_PROGRAM = f"{PREAMBLE} from lastout._exits.keeper import main; main()"

_terms: Terms | None = None
_door: KeeperConnection | None = None  # to the keeper, for this process and those that it forks
_line: KeeperConnection | None = None  # from this process alone
_following = False


class KeeperConnection:
    """One end of a connection to the keeper, as long as its number is still ours."""

    def __init__(self, socket: _socket.socket) -> None:
        self.pid = os.getpid()
        self._socket = socket
        self._inode = os.fstat(socket.fileno()).st_ino

    def send(self, message: bytes, descriptors: Iterable[int] = ()) -> bool:
        """Say something; whether that came through."""
        import _socket

        numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in descriptors)
        with_it = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if numbers else []
        try:
            if not self._is_ours():
                return False
            # No SIGPIPE, and no waiting: for a keeper that was killed, or stopped.
            flags = _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT
            self._socket.sendmsg([message], with_it, flags)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up."""
        if self._is_ours():
            self._socket.close()
        else:
            self._socket.detach()

    def _is_ours(self) -> bool:
        # A program that closes all that it does not know has others under that number.
        try:
            return os.fstat(self._socket.fileno()).st_ino == self._inode
        except OSError:
            return False


def prepare(seconds: float | None) -> None:
    """See to it that `keep` can be called: whatever stands in its way is told now.

    Args:
        seconds: as for `keep`.

    Raises:
        UsageError: this system has no pidfds.
        SystemRefused: no keeper can be started.
    """
    global _door
    if seconds is None:
        return
    if not pids.has_pidfds():
        raise UsageError(
            "a limit needs pidfds (Linux 5.3 or newer, and no sandbox that forbids them); "
            "leave limit= out"
        )
    _door = _door or _start()


def keep(
    seconds: float | None, signals: Iterable[int], pipe: Callable[[], tuple[int, ...]]
) -> None:
    """Have this process killed (SIGKILL) when it is still there so long after its end began.

    Its end begins by `begin`, when the interpreter begins to end, or when one of the signals
    comes and nobody in this process reads it.  The same holds for the processes that it forks.

    Args:
        seconds: how long an end may take; `None` changes nothing.
        signals: those that begin it.
        pipe: gives the two descriptors of the pipe, out and in, which CPython writes signals
            to; nothing where there is none.
    """
    global _terms, _following
    if seconds is None:
        return
    _terms = float(seconds), tuple(signals), pipe
    _join()
    if not _following:
        _following = True
        follow_forks(_nothing, _nothing, _in_child)
        follow_end(begin)
        signal_end.on_begin.append(begin)
        signal_end.on_false_alarm.append(call_off)
        signal_end.after_handling.append(stop)


def begin() -> None:
    """The end of this process has begun; nothing where there is no limit, or it has before."""
    _say(BEGIN)


def call_off() -> None:
    """The signal that came was not for us: this process goes on."""
    _say(CALL_OFF)


def _say(word: bytes) -> None:
    # A child that was forked in C, so that no hook ran, has its parent's.
    if _line is not None and _line.pid == os.getpid():
        _line.send(word)


def stop() -> None:
    """There is no limit any more."""
    global _terms, _door, _line
    _terms = None
    for line in (_line, _door):
        if line is not None:
            line.close()
    _line = _door = None


def _nothing() -> None:
    pass


def _in_child() -> None:
    global _line
    if _line is not None:
        _line.close()  # the parent's
        _line = None
    if _terms is not None:
        _join()


def _join() -> None:
    """Give the keeper what it takes to keep our limit."""
    global _door, _line
    assert _terms is not None
    import _socket

    seconds, signals, pipe = _terms
    terms = " ".join(map(str, (seconds, *signals))).encode()
    line, far_end = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    held = pids.open_pidfd(os.getpid())
    given = (held, far_end.fileno(), *pipe())
    try:
        if _door is None or not _door.send(terms, given):
            _door = _start()  # that one was killed
            _door.send(terms, given)
    finally:
        os.close(held)
        far_end.close()
    if _line is not None:
        _line.close()
    _line = KeeperConnection(line)


def _start() -> KeeperConnection:
    import _socket

    from ..errors import SystemRefused

    python = interpreter()
    if python is None:
        raise SystemRefused(
            f"no keeper of a limit can be started: this program {why_none()}, so nothing can run"
            " one; leave limit= out",
            path=sys.executable,
        )
    door, far_end = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        status = _run(python, far_end.fileno())
        if status:
            raise SystemRefused(
                f"no keeper of a limit can be started: it ended with status {status}",
                path=python,
            )
    except BaseException:
        door.close()
        raise
    finally:
        far_end.close()
    return KeeperConnection(door)


def _run(python: str, door: int) -> int:
    """Start a keeper, and wait until it is on its own: then it is nobody's child."""
    command = [python, "-I", "-S", "-c", _PROGRAM, KEEPER, PACKAGE, str(os.getpid())]
    # A signal is never for the keeper, and a handler of the user's that waits for just any
    # child is not to see ours.
    with AllBlocked():
        # Not `os.fork`: nobody's hooks are to run, nor this process's memory to be copied.
        pid = os.posix_spawn(
            python,
            command,
            environment_outside(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, door, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            return 0  # SIGCHLD is ignored, or another thread has waited for it
