"""Identity: which process a member is, and whether that process still runs.

A process id alone is not enough: it is reused, it means another process in another
container, and nothing after a reboot.  So a member records the boot, the pid namespace,
the pid and when the process started; an interpreter has a number within its process.

    Identity (recorded at join) ---> is_running() ---> True: it runs, or may run
                                                  `--> False: no such process is here

Tested by: tests/test_identity.py
"""

from __future__ import annotations

import os

from ._platform import interpreter_id, pids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._platform.pids import ProcessFacts


def new_token() -> str:
    """A unique name for a member, an artifact or garbage."""
    return os.urandom(8).hex()  # not by `secrets`, which would load OpenSSL: 4 MB


class Identity:
    """A process and interpreter, as one member recorded itself.

    Attributes:
        pid: its process id; `None` if unknown, so that only its lock says whether it lives.
        started: when it started, in the kernel's own unit; `None` if unknown.
        boot: the boot of the machine that it runs in.
        namespace: the pid namespace that `pid` belongs to.
        interpreter: 0 for the main interpreter of the process.
        image: a number of the program that the process ran, which `exec` changes; 0 if unknown.
        host: the name of the machine, for people to read.
    """

    __module__ = __name__.partition(".")[0]  # not by `public`, which a guardian need not load
    __slots__ = ("boot", "host", "image", "interpreter", "namespace", "pid", "started")

    def __init__(
        self,
        pid: int | None,
        started: int | None = None,
        boot: str = "",
        namespace: int = 0,
        interpreter: int = 0,
        image: int = 0,
        host: str = "",
    ) -> None:
        self.pid = pid
        self.started = started
        self.boot = boot
        self.namespace = namespace
        self.interpreter = interpreter
        self.image = image
        self.host = host

    def as_tuple(self) -> tuple[Any, ...]:
        """Its fields in the order of the arguments."""
        fields = (self.pid, self.started, self.boot, self.namespace)
        return (*fields, self.interpreter, self.image, self.host)

    def __repr__(self) -> str:
        return f"Identity(pid={self.pid}, started={self.started}, interpreter={self.interpreter})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Identity):
            return NotImplemented
        return self.as_tuple() == other.as_tuple()

    def __hash__(self) -> int:
        return hash(self.as_tuple())

    def __reduce__(self) -> tuple[object, ...]:
        return Identity, self.as_tuple()


def here() -> Identity:
    """The identity of this process and interpreter."""
    pid = os.getpid()
    facts = pids.process_facts(pid)
    return Identity(
        pid,
        facts.started if facts else None,
        pids.boot_id(),
        pids.pid_namespace(),
        interpreter_id(),
        facts.image if facts else 0,
        os.uname().nodename,
    )


def comparable(who: Identity) -> bool:
    """Whether the pid has a meaning here, because boot and pid namespace are the same."""
    return (
        who.pid is not None and who.boot == pids.boot_id() and who.namespace == pids.pid_namespace()
    )


def running_process(who: Identity) -> ProcessFacts | None:
    """The facts about the process of `who`; `None` unless it is running.

    Fails closed: a process that may be the recorded process counts as running.  A
    process whose pid has no meaning here (another boot or pid namespace, or no pid was
    recorded) counts as not running, because only its lock can say so.
    """
    if not comparable(who):
        return None
    assert who.pid is not None
    facts = pids.process_facts(who.pid)
    if facts is None or facts.ending:
        return None
    if None not in (who.started, facts.started) and who.started != facts.started:
        return None  # the pid was reused
    return facts


def has_executed(who: Identity, facts: ProcessFacts) -> bool:
    """Whether the process of `who` has replaced its program by `exec`, as far as is known."""
    return bool(who.image and facts.image and who.image != facts.image)


def is_running(who: Identity) -> bool:
    """Whether the process of `who` is running, as far as it can be known from here."""
    return running_process(who) is not None


def has_ended(who: Identity) -> bool:
    """Whether the process of `who` has certainly ended, and is not just out of sight."""
    return comparable(who) and not is_running(who)
