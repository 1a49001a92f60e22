"""Processes as the system knows them: their identity, and signals to exactly one process.

Tested by: tests/test_platform.py, tests/test_identity.py
"""

from __future__ import annotations

import errno
import os
import sys

from ..layout import UNWINDING


class ProcessFacts:
    """What the system says of a process.

    Attributes:
        started: when it started, in the system's unit; `None` if unknown.
        image: a number that an `exec` changes and a fork keeps; 0 if unknown.
        ending: whether the process is exiting, or a zombie.
    """

    __slots__ = ("ending", "image", "started")

    def __init__(self, started: int | None, image: int, ending: bool) -> None:
        self.started = started
        self.image = image
        self.ending = ending


# Linux, `struct task_struct.flags`: set from the first step of exiting on.  A
# process gives up its locks some steps later, and is a zombie only after that.
_PF_EXITING = 0x4
_PF_FORKNOEXEC = 0x40


def process_facts(pid: int) -> ProcessFacts | None:
    """The facts about the process `pid`; `None` if there is no such process."""
    if sys.platform == "linux":
        try:
            return _parse_stat(_read(f"/proc/{pid}/stat"), pid)
        except (FileNotFoundError, ProcessLookupError):
            if os.path.exists("/proc/self/stat"):
                return None
    try:
        os.kill(pid, 0)
    except OSError as error:
        if isinstance(error, ProcessLookupError):
            return None  # any other error means that another user's process has the pid
    return ProcessFacts(None, 0, False)


def _parse_stat(stat: bytes, pid: int) -> ProcessFacts:
    fields = _fields(stat)
    state, flags, threads = fields[0], int(fields[6]), int(fields[17])
    ending = state in b"ZX" or bool(flags & _PF_EXITING)
    if ending and threads > 1:
        ending = _all_threads_ending(pid)  # a main thread may end before the others
    # `image` is the start of the stack: random for each program, and kept by a fork.  The
    # kernel shows 0 to a process that may not see it.
    return ProcessFacts(int(fields[19]), int(fields[25]), ending)


def was_forked() -> bool:
    """Whether this process was forked and has not executed a program since, where that is known."""
    try:
        stat = _read("/proc/self/stat")
    except OSError:
        return False
    return bool(int(_fields(stat)[6]) & _PF_FORKNOEXEC)


def _all_threads_ending(pid: int) -> bool:
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            stat = _read(f"/proc/{pid}/task/{thread}/stat")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended just now
        fields = _fields(stat)
        if fields[0] not in b"ZX" and not int(fields[6]) & _PF_EXITING:
            return False
    return True


def _fields(stat: bytes) -> list[bytes]:
    """The fields from the state on; before it is the program's name, which may hold any byte."""
    return stat[stat.rindex(b")") + 2 :].split()


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65536)
    finally:
        os.close(descriptor)


def read_all(path: str) -> bytes:
    """All of a file in /proc, in half of the time that `open` takes."""
    parts = []
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


_boot_id = ""


def boot_id() -> str:
    """Which boot of the machine this is; empty if the system does not say."""
    global _boot_id
    if not _boot_id and sys.platform == "linux":
        try:
            _boot_id = _read("/proc/sys/kernel/random/boot_id").strip().decode()
        except OSError:
            _boot_id = "unknown"  # hidden from a sandbox
    return _boot_id


def pid_namespace() -> int:
    """Which pid namespace this process is in; 0 if the system does not say."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def has_pidfds() -> bool:
    """Whether another process can be watched and signalled without the risk of a reused pid.

    That needs pidfds (Linux 5.3, and no sandbox that forbids them) and /proc.

    Raises:
        OSError: no descriptors are left to find out.
    """
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(open_pidfd(os.getpid()))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return False
    return os.path.exists("/proc/self/stat")


def open_pidfd(pid: int) -> int:
    """A descriptor of the process `pid`, which never means another and is readable at its end."""
    return os.pidfd_open(pid)


def signal_held(held: int, signum: int) -> None:
    """Send a signal to the process of a pidfd, and never to a later process with its pid."""
    import signal

    signal.pidfd_send_signal(held, signum)


def say_that_it_unwinds() -> None:
    """Have `unwinds` be true of this process for as long as the calling thread runs."""
    try:
        descriptor = os.open("/proc/thread-self/comm", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, UNWINDING.encode())
        finally:
            os.close(descriptor)
    except OSError:
        return  # no /proc, or it is read-only, so `unwinds` stays false


def unwinds(pid: int) -> bool:
    """Whether a process runs its exit handlers because of a signal; a second may cut them off.

    The process says so by the name of a thread, because every process that may signal it can
    see that, in a scope or not; it ends with the process, and a forked child does not have it.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    return any(_thread_name(pid, thread) == UNWINDING.encode() for thread in threads)


def _thread_name(pid: int, thread: str) -> bytes:
    try:
        return _read(f"/proc/{pid}/task/{thread}/comm").rstrip(b"\n")
    except OSError:
        return b""  # it has ended just now


def process_ids() -> list[int]:
    """All processes that can be seen from here."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


_MANY = 4096


def started_since(pid: int) -> list[int]:
    """The pids of all processes that were started shortly after `pid`; perhaps some more."""
    last = int(_read("/proc/loadavg").split()[-1])  # the latest pid; pids are given in order
    if pid <= last < pid + _MANY:
        return list(range(pid + 1, last + 1))
    return [one for one in process_ids() if one > pid or one <= last]  # pids wrap around


def has_in_environment(pid: int, entry: bytes) -> bool:
    """Whether the process `pid` was started with `entry` ("NAME=value") in its environment."""
    return entry in environment_of(pid)


def environment_of(pid: int) -> list[bytes]:
    """The environment that the process `pid` was started with; empty if unknown."""
    try:
        return read_all(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return []  # it has ended, or is another user's


# The number of the first pid namespace, in which all processes can be seen.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


def sees_all_processes() -> bool:
    """Whether this process is in the machine's first pid namespace, not in a container."""
    return pid_namespace() == _FIRST_PID_NAMESPACE


def can_list_processes() -> bool:
    """Whether this system shows all processes, with parent, command and environment."""
    return os.path.exists("/proc/self/environ")


def command_line(pid: int) -> list[bytes]:
    """The program and arguments that the process `pid` was started with; empty if unknown."""
    try:
        text = read_all(f"/proc/{pid}/cmdline")
    except OSError:
        return []  # it has ended
    # A title that was written over the command line may lack the NUL at its end.
    return text.removesuffix(b"\0").split(b"\0") if text else []


def descriptors_of(pid: int) -> list[str]:
    """The numbers of the descriptors of the process `pid`, as far as they can be seen."""
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []  # it has ended, or is another user's


def open_files(pid: int) -> list[str]:
    """The paths of the files that the process `pid` has open, as far as they can be seen.

    With `" (deleted)"` at the end of the path of a file without a name.
    """
    found = []
    for number in descriptors_of(pid):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            continue  # it was closed meanwhile
    return found


def parent_of(pid: int) -> int | None:
    """The parent of the process `pid`; `None` if that process has ended."""
    try:
        stat = _read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(_fields(stat)[1])


def command_of(pid: int) -> str:
    """Program and arguments of the process `pid`, for people; empty if it has ended."""
    return b" ".join(command_line(pid)).decode(errors="replace")


def descends_from(pid: int, ancestor: int) -> bool:
    """Whether the process `pid` is a child of `ancestor`, or a further descendant."""
    above = parent_of(pid)
    while above and above != ancestor:
        above = parent_of(above)
    return above == ancestor


_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> bool:
    """Become the parent of each descendant whose parent ends; returns whether that is possible."""
    if sys.platform != "linux":
        return False
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return bool(prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
