"""The only file that asks which system or Python this is.

Everything here is a small function or a constant, so that the rest of lastout
reads the same on every system.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

HAS_FORK = hasattr(os, "register_at_fork")

# CPython 3.12 refuses to start a thread once the interpreter has begun to end,
# which is when exit handlers run; 3.11 and 3.13 allow it (tried on 3.11.7,
# 3.12.1 and 3.13.0).
THREADS_START_AT_EXIT = sys.version_info[:2] != (3, 12)


def in_main_interpreter() -> bool:
    """Whether this is the process's main interpreter, not a subinterpreter."""
    if sys.version_info >= (3, 13):
        import _thread

        return bool(_thread._is_main_interpreter())  # type: ignore[attr-defined,unused-ignore]
    try:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return True  # this Python was built without them
    return bool(interpreters.get_current() == interpreters.get_main())


def show_unraisable(exception: BaseException, func: object) -> None:
    """Show what an exit handler raised, exactly as this CPython's atexit does.

    It goes through `sys.unraisablehook`.  Up to 3.12 the handler is the hook's
    `object`; from 3.13 that is `None` and the message names the handler.
    """
    message, subject = "Exception ignored in atexit callback", func
    if sys.version_info >= (3, 13):
        message, subject = f"{message} {safe_repr(func)}", None
    arguments = _unraisable_arguments(
        (type(exception), exception, exception.__traceback__, message, subject)
    )
    try:
        sys.unraisablehook(arguments)
    except BaseException as error:
        # CPython does the same: a hook that fails is shown by the default one.
        failed = "Exception ignored in sys.unraisablehook"
        fields = (type(error), error, error.__traceback__, failed, sys.unraisablehook)
        sys.__unraisablehook__(_unraisable_arguments(fields))


def safe_repr(value: object) -> str:
    """`repr(value)`, or a plain one where that fails."""
    try:
        return repr(value)
    except Exception:
        return object.__repr__(value)


def _unraisable_arguments(fields: tuple[object, ...]) -> Any:
    # The default hook takes nothing but this type, which has no public name.
    kinds: list[Any] = tuple.__subclasses__()
    for kind in kinds:
        if kind.__name__ == "UnraisableHookArgs":
            return kind(fields)
    raise RuntimeError("this Python has no UnraisableHookArgs type")


def prepare_to_die() -> None:
    """Load what `die_of` needs while there is still time and memory to do so."""
    import ctypes  # noqa: F401


def default_action(signum: int) -> None:
    """Give `signum` back to the kernel's default action, from any thread.

    `signal.signal` works in the main thread only, which may sit in a C call
    that never ends; CPython's own C function has no such limit.
    """
    import ctypes

    set_handler = ctypes.pythonapi.PyOS_setsig
    set_handler.argtypes = (ctypes.c_int, ctypes.c_void_p)
    set_handler.restype = ctypes.c_void_p
    set_handler(signum, None)  # SIG_DFL is the null pointer


def die_of(signum: int) -> NoReturn:
    """End this process by `signum`, so that its parent sees the true status."""
    import signal

    default_action(signum)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    # To this thread: one that is sent to the process may go to another thread,
    # and not be delivered before the next line.
    signal.raise_signal(signum)
    # Still here: the kernel drops such a signal for process 1 of a container,
    # and some signals do nothing by default.  A shell shows the same number.
    os._exit(128 + signum)


# Opens a directory only to go through it, for which it need not be readable.
PASS_THROUGH = getattr(os, "O_PATH", os.O_RDONLY)


def mount_of(descriptor: int) -> str:
    """Which mount an open file or directory lies in.

    The device number alone does not tell: a directory that is mounted a second
    time by `mount --bind` has the same one.
    """
    if sys.platform == "linux":
        try:
            info = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # /proc is not mounted
            return f"device {os.fstat(descriptor).st_dev}"
        try:
            for line in os.read(info, 4096).splitlines():
                if line.startswith(b"mnt_id:"):
                    return line.decode()
        finally:
            os.close(info)
    return f"device {os.fstat(descriptor).st_dev}"


def unlock_directory(name: str, parent: int) -> None:
    """Give its owner all rights to the directory `name` in `parent`, a link not followed."""
    if sys.platform != "linux":
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    # Linux cannot change a mode without following links, but it can open the
    # directory without reading it and change what that descriptor names.
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    found = os.open(name, flags, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{found}", 0o700)
    finally:
        os.close(found)


# From 3.13 a shared memory object can be told to keep away from the tracker.
SHARED_MEMORY_CAN_BE_UNTRACKED = sys.version_info >= (3, 13)


def shared_memory_file(name: str) -> str | None:
    """The file behind POSIX shared memory, where the system has one to look at."""
    return f"/dev/shm/{name}" if sys.platform == "linux" else None


def semaphore_file(name: str) -> str | None:
    """The file behind a named POSIX semaphore, where the system has one to look at."""
    return f"/dev/shm/sem.{name}" if sys.platform == "linux" else None


def interpreter_id() -> int:
    """The number of this interpreter in its process; 0 is the main one."""
    if in_main_interpreter():
        return 0
    if sys.version_info >= (3, 13):
        import _interpreters  # type: ignore[import-not-found,unused-ignore]

        return int(_interpreters.get_current()[0])
    import _xxsubinterpreters as interpreters  # type: ignore[import-not-found,unused-ignore]

    return int(interpreters.get_current())


class ProcessFacts:
    """What the system says of a process.

    Attributes:
        started: when it started, in the system's unit; `None` if it does not say.
        image: a number that an `exec` changes and a fork keeps; 0 if it does not say.
        ending: whether it is dead already and only waited for, or on its way out.
    """

    __slots__ = ("ending", "image", "started")

    def __init__(self, started: int | None, image: int, ending: bool) -> None:
        self.started = started
        self.image = image
        self.ending = ending


# Linux, `struct task_struct.flags`: set from the first step of exiting on.  A
# process gives up its locks some steps later, and is a zombie only after that.
_PF_EXITING = 0x4


def process_facts(pid: int) -> ProcessFacts | None:
    """What is known of the process `pid`, or `None` if there is no such process."""
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
            return None  # any other error: it is there, and somebody else's
    return ProcessFacts(None, 0, False)


def _parse_stat(stat: bytes, pid: int) -> ProcessFacts:
    # The second field is the program's name in brackets, with any bytes in it.
    fields = stat[stat.rindex(b")") + 2 :].split()
    state, flags, threads = fields[0], int(fields[6]), int(fields[17])
    ending = state in b"ZX" or bool(flags & _PF_EXITING)
    if ending and threads > 1:
        ending = _all_threads_ending(pid)  # a main thread may end before the others
    # Where its stack starts: random for each program, kept by a fork.  The
    # kernel shows 0 to those who must not know.
    return ProcessFacts(int(fields[19]), int(fields[25]), ending)


def _all_threads_ending(pid: int) -> bool:
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            stat = _read(f"/proc/{pid}/task/{thread}/stat")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended just now
        fields = stat[stat.rindex(b")") + 2 :].split()
        if fields[0] not in b"ZX" and not int(fields[6]) & _PF_EXITING:
            return False
    return True


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65536)
    finally:
        os.close(descriptor)


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


# File systems on which a lock can be lost while its holder lives, or is not
# seen by the other machines at all.
_NETWORK = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "ceph",
        "fuse.ceph",
        "fuse.sshfs",
        "fuse.glusterfs",
        "glusterfs",
        "lustre",
        "beegfs",
        "gpfs",
        "orangefs",
        "pvfs2",
        "ocfs2",
        "gfs2",
        "coda",
    ]
)


def network_file_system(device: int, mounts: str = "/proc/self/mountinfo") -> str:
    """The type of the file system with this device number if it is a network one, else empty."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                fields, _, rest = line.partition(" - ")
                if fields.split(" ", 3)[2] == number:
                    kind = rest.split(" ", 1)[0]
                    return kind if kind in _NETWORK else ""
    except OSError:
        return ""  # not Linux, or no /proc: nothing says what it is
    return ""


def can_hold_processes() -> bool:
    """Whether another process can be held, seen and signalled without mistaking it for another.

    It takes pidfds (Linux 5.3, and no sandbox that forbids them) and /proc.

    Raises:
        OSError: there are no descriptors left to find out with.
    """
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(hold_process(os.getpid()))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return False
    return os.path.exists("/proc/self/stat")


def hold_process(pid: int) -> int:
    """A descriptor of the process `pid`: of that one for good, and readable when it has ended."""
    return os.pidfd_open(pid)


def signal_held(held: int, signum: int) -> None:
    """Send a signal to the process that a descriptor holds, and to no other."""
    import signal

    signal.pidfd_send_signal(held, signum)


def process_ids() -> list[int]:
    """All processes that can be seen from here."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def has_in_environment(pid: int, entry: bytes) -> bool:
    """Whether the process `pid` was started with `entry` ("NAME=value") in its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as environment:
            return entry in environment.read().split(b"\0")
    except OSError:
        return False  # it has ended, or is somebody else's


# The number of the first pid namespace, in which all processes are seen.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


def sees_all_processes() -> bool:
    """Whether this process is in no container of processes."""
    return pid_namespace() == _FIRST_PID_NAMESPACE


def scratch_file() -> int:
    """A descriptor of a nameless file in memory: it needs no disk, which may be full."""
    if sys.platform == "linux":
        return os.memfd_create("lastout", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
