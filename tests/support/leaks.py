"""What a test left behind: processes, threads, descriptors, scopes, shared memory.

A test that leaves nothing is checked by a handful of directory listings.  Only
where something seems to be left does it wait, up to `GRACE` seconds, for what
is just about to go.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from .waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("processes", "threads", "descriptors", "scopes", "shared memory")
GRACE = 3.0
MARK = "LASTOUT_TEST"  # an environment variable: what a test starts inherits it
SHARED_MEMORY = Path("/dev/shm")

# Both packages, and loky, keep these for as long as the test run itself.
LASTING = ("resource_tracker", "forkserver", "semaphore_tracker")


class Leaks:
    """What there was when a test began; `found` says what has come since.

    Args:
        root: the directory that scopes lie in, `$LASTOUT_ROOT` of the test.
        token: the value of `$LASTOUT_TEST` in every process that the test starts.
        grace: seconds that what is just about to go is waited for.
    """

    def __init__(self, root: Path, token: str, grace: float = GRACE) -> None:
        self._root = root
        self._grace = grace
        self._token = f"{MARK}={token}".encode()
        self._looks: dict[str, Callable[[], dict[str, str]]] = {
            "processes": self._processes,
            "threads": _threads,
            "descriptors": _descriptors,
            "scopes": self._scopes,
            "shared memory": _shared_memory,
        }
        self._pids = set(psutil.pids())
        self._before = {kind: look() for kind, look in self._looks.items() if kind != "processes"}

    def found(self, allowed: frozenset[str] = frozenset()) -> list[str]:
        """One line for each thing that is left, of the kinds that are not `allowed`."""
        kinds = [kind for kind in KINDS if kind not in allowed]
        suspect = [kind for kind in kinds if self._new(kind)]
        if suspect:
            gc.collect()
        return [line for kind in suspect for line in self._stays(kind)]

    def _stays(self, kind: str) -> list[str]:
        """What is there all the time: others of this machine may come and go meanwhile."""
        left = self._new(kind)

        def is_gone() -> bool:
            now = self._new(kind)
            for key in left.keys() - now.keys():
                del left[key]
            return not left

        # Without root they use the same /dev/shm, and what they leave goes a little later.
        grace = self._grace * (4 if kind == "shared memory" else 1)
        eventually(is_gone, grace, step=0.02)
        return [f"{kind}: {what}" for what in left.values()]

    def _new(self, kind: str) -> dict[str, str]:
        before = self._before.get(kind, {})
        now = {key: what for key, what in self._looks[kind]().items() if key not in before}
        return _in_nobodys_hands(now) if kind == "shared memory" else now

    def _processes(self) -> dict[str, str]:
        """Processes begun since: children of this one, and all with this test's mark."""
        new = set(psutil.pids()) - self._pids
        return {str(pid): what for pid in new if self._is_ours(pid) and (what := _process(pid))}

    def _is_ours(self, pid: int) -> bool:
        # It may end while it is looked at, or be somebody else's.
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).ppid() == os.getpid():
                return True
        with contextlib.suppress(OSError):
            return self._token in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return False

    def _scopes(self) -> dict[str, str]:
        if not self._root.is_dir():
            return {}
        return {path.name: str(path) for path in self._root.iterdir()}


def _process(pid: int) -> str:
    """A description of a process; empty if it has ended or lasts as long as the test run."""
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline())
        if any(word in command for word in LASTING):
            return ""
        return f"{pid} {process.status()} {command}"
    except psutil.ZombieProcess:
        # One whose parent is not this process is not ours to wait for.
        return f"{pid} not waited for" if psutil.Process(pid).ppid() == os.getpid() else ""
    except psutil.NoSuchProcess:
        return ""


def _threads() -> dict[str, str]:
    """The threads of this process, also those that `threading` does not know."""
    threads = sorted(thread.id for thread in psutil.Process().threads())
    # Kept on purpose where none can be started at exit; they are the newest.
    parked = len(getattr(sys.modules.get("lastout._exits.runner"), "_parked", ()))
    return {str(thread): f"thread {thread}" for thread in threads[: len(threads) - parked]}


def _descriptors() -> dict[str, str]:
    listing = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    found, lasting = {}, _lasting_descriptors()
    for name in os.listdir(listing):
        # The one that this listing itself used is closed by now.
        with contextlib.suppress(OSError):
            target = os.readlink(f"{listing}/{name}") if sys.platform == "linux" else ""
            if int(name) not in lasting:
                found[f"{name} {target}"] = f"{name} {target}"
    return found


def _lasting_descriptors() -> set[int | None]:
    """Those that multiprocessing, multiprocess and loky keep to their helper processes."""
    kept: set[int | None] = set()
    for name, module in list(sys.modules.items()):
        if name.endswith("resource_tracker"):
            kept.add(getattr(getattr(module, "_resource_tracker", None), "_fd", None))
        if name.endswith(".forkserver"):
            server = getattr(module, "_forkserver", None)
            kept.add(getattr(server, "_forkserver_alive_fd", None))
    return kept


def _shared_memory() -> dict[str, str]:
    if not SHARED_MEMORY.is_dir():
        return {}
    # Semaphores are multiprocessing's own: its tracker removes them, and lastout makes none.
    # Storms have a judge of their own, and another run of the tests may have one just now.
    names = [name for name in os.listdir(SHARED_MEMORY) if not name.startswith(("sem.", "storm-"))]
    return {name: f"{SHARED_MEMORY}/{name}" for name in names}


def _in_nobodys_hands(found: dict[str, str]) -> dict[str, str]:
    """Those of ours that no process has mapped: others on this machine use /dev/shm too."""
    if not found:
        return {}
    mapped = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            mapped += maps.read_text(errors="replace")
    left = {}
    for name, path in found.items():
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_uid == os.getuid() and path not in mapped and not _made_by(name):
                left[name] = path
    return left


def _made_by(name: str) -> bool:
    """Whether a living process that is no child of this one is named in it, as loky does."""
    pids = {int(number) for number in re.findall(r"(?<![0-9a-zA-Z])\d+(?![0-9a-zA-Z])", name)} - {
        os.getpid()
    }
    ours = {child.pid for child in psutil.Process().children(recursive=True)}
    return any(psutil.pid_exists(pid) for pid in pids - ours if 1 < pid < 2**22)
