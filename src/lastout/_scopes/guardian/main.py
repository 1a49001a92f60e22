"""GuardianLoop: the work of a guardian, in a separate process, until its scope is gone.

    a process ends    (pidfd)   --+
    a journal comes   (dnotify) --+--> look: who is dead? --> a job, in a fork that ends after it:
    a lock is freed   (flock)   --+                           "reap", or "orphans"

Each member has one state, the event that the guardian waits for (`WatchState`; the rule is
`records.liveness.watch_state`).  When a journal is removed, the state of its member is dropped.

    a journal comes --look--> FOLLOWED --its process ends--> ENDED --look--> LOCKED or DEAD
                         `--> SILENT --a moment later--> FOLLOWED, LOCKED or DEAD
                         `--> LOCKED --its lock is freed--> LOCKED --look--> FOLLOWED or DEAD
    DEAD: "reap" is started once, and not again for artifacts that it could not clean

A guardian knows only the events that it waits for, and derives them from the journals, so a
killed guardian can be replaced at any time.  It needs little memory because it loads few
modules: only its jobs load the modules for cleaning, `filelock` included.

Tested by: tests/shared/test_watch.py, tests/shared/test_guardian.py
"""

from __future__ import annotations

import fcntl
import os
import signal
from _thread import start_new_thread
from time import monotonic

from ..._identity import comparable
from ..._platform import events, marks
from ...layout import JOURNAL
from ..records.journal_header import SIZE, identity_in_header
from ..records.liveness import WatchState, watch_state
from .jobs import GuardianJobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..._identity import Identity

_SETTLE: Final = 0.01  # seconds, because members often come several at once
_ANSWER: Final = 0.05  # seconds for a forked child to record its identity
_AGAIN: Final = 1.0  # seconds until the next look after a look failed
# Seconds until a job that could not do its work, such as for want of memory, is tried again.
_PAUSES: Final = (0.1, 1.0, 5.0, 20.0)
_READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# In these states a member counts as alive.  ENDED is over with the next look, and DEAD is final.
_ALIVE: Final = frozenset({WatchState.FOLLOWED, WatchState.SILENT, WatchState.LOCKED})
# Signals that a terminal, a shell or a service manager sends, and that are for the members.
_NOT_FOR_US: Final = ("SIGINT", "SIGQUIT", "SIGTSTP", "SIGHUP", "SIGTERM", "SIGTTIN", "SIGTTOU")


class GuardianLoop:
    """Waits for the members of one scope, and has dead members reaped.

    Args:
        path: the path of the scope.
        directory: a descriptor of the scope.
        jobs: starts the jobs.
    """

    def __init__(self, path: str, directory: int, jobs: GuardianJobs) -> None:
        self._path = path
        self._directory = directory
        self._jobs = jobs
        self._events = events.watch(directory)
        self._states: dict[str, WatchState] = {}  # by token
        self._pids: dict[str, int] = {}  # by token; of processes that are or were followed
        self._waited_for: tuple[str, int] | None = None  # a LOCKED member; its open journal
        self._is_free = False  # whether this process has got that lock
        self._look_at: float | None = 0.0
        self._wanted: dict[str, float] = {}  # job -> the earliest time for it
        self._failed: dict[str, int] = {}

    def run(self) -> None:
        """Watch until the scope is removed, or no member is left and no more can be done."""
        while True:
            self._let_go_of_lock()
            if self._look_at is not None and self._look_at <= monotonic():
                self._look_if_possible()
            if not self._is_there():
                return
            self._start_jobs()
            if not self._expects_anything():
                return
            ended, changed = self._events.wait(self._time_left())
            if ended:
                self._look_at = 0.0
            elif changed:
                self._look_soon(_SETTLE)
            for pid in ended:
                self._take_note_of_end(pid)

    def _is_there(self) -> bool:
        try:
            there, ours = os.stat(self._path, follow_symlinks=False), os.fstat(self._directory)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _expects_anything(self) -> bool:
        alive = not _ALIVE.isdisjoint(self._states.values())
        return bool(alive or self._wanted or self._jobs.running or self._look_at is not None)

    def _time_left(self) -> float | None:
        """Seconds until something is due without an event."""
        due = [at for job, at in self._wanted.items() if job not in self._jobs.running.values()]
        if self._look_at is not None:
            due.append(self._look_at)
        return max(0.0, min(due) - monotonic()) if due else None

    def _look_soon(self, seconds: float) -> None:
        at = monotonic() + seconds
        self._look_at = at if self._look_at is None else min(at, self._look_at)

    def _look_if_possible(self) -> None:
        self._look_at = None
        try:
            self._look()
        except OSError:  # no descriptors or no memory are left at the moment
            self._look_soon(_AGAIN)

    def _look(self) -> None:
        names = os.listdir(self._directory)
        here = {
            name[: -len(JOURNAL)] for name in names if name.endswith(JOURNAL) and name[0] != "."
        }
        # Only states go: a process that left is still followed, as it may be a parent of workers.
        self._states = {token: state for token, state in self._states.items() if token in here}
        self._pids = {token: pid for token, pid in self._pids.items() if token in here}
        for token in here:
            # Not FOLLOWED, because its end is an event; not DEAD, because an artifact that cannot
            # be cleaned would be tried for ever.
            if self._states.get(token) not in (WatchState.FOLLOWED, WatchState.DEAD):
                self._look_at_member(token)
        self._wait_for_a_lock()

    def _look_at_member(self, token: str) -> None:
        journal = self._open(token)
        if journal is None:
            return
        try:
            head = os.pread(journal, SIZE, 0)
            parent = identity_in_header(head, b"worker")
            if parent and comparable(parent) and not self._follow(parent):
                self._want("orphans")
            self._judge(token, identity_in_header(head, b"join"), journal)
        finally:
            os.close(journal)

    def _judge(self, token: str, who: Identity | None, journal: int) -> None:
        named, before = who is not None, self._states.get(token)
        follows = who is not None and self._follow_member(token, who)
        state = watch_state(named=named, follows=follows, before=before, locked=True)
        # Asked last, because the question takes the lock for a moment, which a silent member may
        # be about to take.
        if state is WatchState.LOCKED and _is_free(journal):
            state = watch_state(named=named, follows=follows, before=before, locked=False)
        self._enter(token, state)

    def _enter(self, token: str, state: WatchState) -> None:
        """Set the state of a member, and start what it requires; nothing else sets states."""
        self._states[token] = state
        if state is WatchState.DEAD:
            self._want("reap")
        elif state is WatchState.SILENT:
            self._look_soon(_ANSWER)  # because no event tells that a member writes its identity

    def _all_in(self, state: WatchState) -> list[str]:
        return [token for token, other in self._states.items() if other is state]

    def _follow_member(self, token: str, who: Identity) -> bool:
        # Only once, because some systems show a zombie as a running process.
        if token in self._pids or not who.pid or not comparable(who) or not self._follow(who):
            return False
        self._pids[token] = who.pid
        return True

    def _follow(self, who: Identity) -> bool:
        return who.pid is not None and self._events.follow(who.pid, who.started)

    def _open(self, token: str) -> int | None:
        try:
            return os.open(token + JOURNAL, _READ_ONLY, dir_fd=self._directory)
        except FileNotFoundError:
            return None

    def _wait_for_a_lock(self) -> None:
        """Wait for a member of which only the lock is known.

        One at a time is enough, because a member that has not recorded its identity has made
        no artifacts, so only the end of the last of them matters.
        """
        locked = self._all_in(WatchState.LOCKED)
        if locked and not self._waited_for:
            journal = self._open(locked[0])
            if journal is not None:
                self._waited_for = locked[0], journal
                start_new_thread(self._sleep_until_free, (journal,))

    def _sleep_until_free(self, journal: int) -> None:
        try:
            fcntl.flock(journal, fcntl.LOCK_SH)
        finally:
            self._is_free = True
            self._events.ring()

    def _let_go_of_lock(self) -> None:
        if self._waited_for and self._is_free:
            token, journal = self._waited_for
            os.close(journal)
            self._waited_for, self._is_free = None, False
            if self._states.get(token) is WatchState.DEAD:
                # Judged anew, because a job that looked meanwhile saw the lock of this process,
                # and took the member for alive.
                self._enter(token, WatchState.LOCKED)
            # A member that has recorded its identity meanwhile stays FOLLOWED.
            self._look_at = 0.0

    def _take_note_of_end(self, pid: int) -> None:
        if pid in self._jobs.running:
            self._take_note_of_job(pid)
            return
        for token in self._all_in(WatchState.FOLLOWED):
            if self._pids[token] == pid:
                # Not dead yet, because a child may have inherited its lock.
                self._enter(token, WatchState.ENDED)
            elif self._is_worker_of(token, pid):
                self._want("orphans")

    def _is_worker_of(self, token: str, pid: int) -> bool:
        try:
            journal = self._open(token)
        except OSError:
            return True  # unknown, so the job finds out
        if journal is None:
            return False
        try:
            parent = identity_in_header(os.pread(journal, SIZE, 0), b"worker")
        finally:
            os.close(journal)
        return parent is not None and parent.pid == pid

    def _want(self, job: str, seconds: float = 0.0) -> None:
        self._wanted[job] = monotonic() + seconds

    def _start_jobs(self) -> None:
        now = monotonic()
        for job, at in list(self._wanted.items()):
            if at <= now and job not in self._jobs.running.values():
                del self._wanted[job]
                try:
                    pid = self._jobs.start(job, self._path, self._waited_for)
                except OSError:  # no memory or no processes are left
                    self._try_again(job)
                    continue
                if not self._events.follow(pid, None):
                    self._take_note_of_job(pid)  # it has ended already

    def _take_note_of_job(self, pid: int) -> None:
        job, worked = self._jobs.result(pid)
        if worked:
            self._failed.pop(job, None)
        else:
            self._try_again(job)
        self._look_at = 0.0

    def _try_again(self, job: str) -> None:
        failed = self._failed.get(job, 0)
        self._failed[job] = failed + 1
        if failed < len(_PAUSES):
            self._want(job, _PAUSES[failed])


def _is_free(journal: int) -> bool:
    try:
        fcntl.flock(journal, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(journal, fcntl.LOCK_UN)
    return True


def main(path: str, lock: str, *paths: str) -> None:
    """Be the guardian of the scope at `path`.

    The process that calls this forks the guardian and ends once that cannot fail any more, so
    no process can wait for the guardian as its child.

    Args:
        path: the path of the scope.
        lock: the descriptor of the guardian's lock, locked.
        paths: entries of `sys.path` for the modules that cleaning imports.
    """
    try:
        directory = os.open(path, _READ_ONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        os._exit(0)  # its starter was killed, and everything is cleaned already
    os.set_inheritable(int(lock), False)
    marks.take_mark_off()  # else it is ended with the process tree of its starter
    jobs = GuardianJobs(int(lock), paths)
    jobs.prepare()
    if os.fork():
        os._exit(0)
    os.setsid()
    # These signals are meant for the members, after whose end the guardian ends by itself.
    # Handlers, because jobs and their programs would inherit an ignored signal.
    for name in _NOT_FOR_US:
        signal.signal(getattr(signal, name), lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.dup2(0, 2)  # up to here errors go to the starter
    GuardianLoop(path, directory, jobs).run()
    os._exit(0)
