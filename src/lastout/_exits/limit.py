"""Limit: so many seconds for the end of this process, kept by another process (`keeper`).

    keep(3.0, {SIGTERM}, pipe) ==> keeper                    this process may be in C code that
    begin()                    ==> the clock runs            keeps the interpreter lock, or in a
    call_off()                 ==> the clock stops           function of atexit that hangs
    stop()                     ==> no limit any more

A forked child has the same limit, and the same keeper keeps it.

Tested by: tests/process/test_limit.py
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

    # Seconds, signals, and a function that gives the descriptors of the wakeup pipe, if any.
    Terms = tuple[float, tuple[int, ...], Callable[[], tuple[int, ...]]]

_PROGRAM = f"{PREAMBLE} from lastout._exits.keeper import main; main()"

_terms: Terms | None = None
_door: KeeperConnection | None = None  # to the keeper, shared with the processes it forks
_line: KeeperConnection | None = None  # to the keeper, of this process alone
_following = False


class KeeperConnection:
    """One end of a connection to the keeper, used while its descriptor still is that end."""

    def __init__(self, socket: _socket.socket) -> None:
        self.pid = os.getpid()
        self._socket = socket
        self._inode = os.fstat(socket.fileno()).st_ino

    def send(self, message: bytes, descriptors: Iterable[int] = ()) -> bool:
        """Send a message; returns whether that succeeded."""
        import _socket

        numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in descriptors)
        with_it = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if numbers else []
        try:
            if not self._is_ours():
                return False
            # No SIGPIPE, because the keeper may be killed; no waiting, because it may be stopped.
            flags = _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT
            self._socket.sendmsg([message], with_it, flags)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up, without closing a descriptor that the program opened under this number."""
        if self._is_ours():
            self._socket.close()
        else:
            self._socket.detach()

    def _is_ours(self) -> bool:
        # A program that closes all unknown descriptors may reuse the number for its own file.
        try:
            return os.fstat(self._socket.fileno()).st_ino == self._inode
        except OSError:
            return False


def prepare(seconds: float | None) -> None:
    """Start the keeper, so that `keep` meets no error later.

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
    """Have this process killed (SIGKILL) if it still runs so long after its end began.

    Its end begins by `begin`, when the interpreter begins to end, or when one of the signals
    comes and no thread of this process reads it.  The same holds for the processes that it
    forks.

    Args:
        seconds: how long an end may take; `None` changes nothing.
        signals: the signals that begin an end.
        pipe: gives the two descriptors, out and in, of the pipe to which CPython writes
            signals; none if there is no pipe.
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
    """Start the clock, because the end of this process begins; does nothing without a limit."""
    _say(BEGIN)


def call_off() -> None:
    """Stop the clock, because the signal does not end this process."""
    _say(CALL_OFF)


def _say(word: bytes) -> None:
    # A child that was forked in C, without hooks, holds its parent's line: it must stay silent.
    if _line is not None and _line.pid == os.getpid():
        _line.send(word)


def stop() -> None:
    """End the limit of this process."""
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
    """Send the keeper the terms of the limit, and the descriptors that it needs."""
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
            _door = _start()  # because the former keeper was killed
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
    """Start a keeper, and wait until it has detached; returns the status of its starter."""
    command = [python, "-I", "-S", "-c", _PROGRAM, KEEPER, PACKAGE, str(os.getpid())]
    # Blocked, because no signal is for the keeper, and because a handler of the program that
    # waits for any child must not see this child.
    with AllBlocked():
        # Not `os.fork`, which would run the program's hooks and copy the memory of this process.
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
            return 0  # SIGCHLD is ignored, or another thread has waited for the child
