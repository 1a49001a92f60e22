"""A storm: trees of processes in one scope, somebody who sends them signals, and the end.

When a signal is sent, to whom, and which one, is drawn from the seed and counted in what
the processes say, not in seconds: on a slower machine the same happens, only later.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import lastout

from .leaks import MARK, SHARED_MEMORY
from .verdict import Verdict
from .waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .program import Program

PROGRAMS = Path(__file__).parents[1] / "programs"
SCRIPT = """
    import sys
    import storm

    if __name__ == "__main__":
        storm.main(*sys.argv[1:])
"""
_PF_KTHREAD = 0x200000  # Linux, `struct task_struct.flags`
_PROGRAMS = "artifact", "cleanup"  # that are no members
SIGNALS = ["KILL", "KILL", "KILL", "TERM", "TERM", "STOP", "CONT", "guardian"]


class Storm:
    """One round.

    Args:
        program: the fixture.
        area: an empty directory for the things.
        seed: what all is drawn from.
        trees: how many programs there are that know nothing of each other.
        depth: how many generations of children each has.
    """

    def __init__(
        self, program: Callable[..., Program], area: Path, seed: int, trees: int, depth: int
    ) -> None:
        self.seed = seed
        self.area = area
        self.sent: Counter[str] = Counter()
        self._draw = random.Random(f"storm/{seed}")
        self._mark = f"{MARK}={os.environ[MARK]}".encode()
        guardian = self._draw.choice(["guarded", "alone"])
        modules = {name: (PROGRAMS / f"{name}.py").read_text() for name in ("storm", "kin")}
        area.mkdir()
        self._programs: list[Program] = []
        aside = area.with_name(f"{area.name}-joblib")  # whose own helpers are killed as well
        aside.mkdir()
        env = {"STORM_AREA": str(area), "JOBLIB_TEMP_FOLDER": str(aside)}
        for number in range(trees):
            args = [f"{seed}", f"t{number}", f"{depth}", guardian]
            child = program(SCRIPT, args=args, modules=modules, env=env)
            self._programs.append(child)
            # They all speak into one log.
            env["SAY_TO"] = str(self._programs[0].directory / "said")
        self._log = self._programs[0].directory / "said"

    def blow(self, seconds: float) -> None:
        """Send signals until all have ended, or that time is over."""
        end = monotonic() + seconds
        lines = 0
        while monotonic() < end and any(child.running for child in self._programs):
            lines += self._draw.randint(4, 24)
            self._wait_for(lines)
            self._send(self._draw.choice(SIGNALS), self._draw.random())

    def end(self) -> Verdict:
        """Kill all that is left of it, and have what they left cleaned, by one call at most.

        Returns:
            What the judge says.
        """
        inherited = list(self._inherited())
        assert eventually(lambda: not self._kill_all(), 30.0, step=0.02), self._living()
        report = lastout.reap(name="storm")
        verdict = Verdict(self._log.read_text().splitlines())
        verdict.wrong += inherited
        verdict.wrong += [
            f"not cleaned: {one.name}: {one.failure.exception}" for one in report if one.failure
        ]
        root = Path(os.environ["LASTOUT_ROOT"])
        # The guardian, or what it has started, may just be at the same.
        eventually(lambda: not self._left(root), 10.0)
        verdict.wrong += [f"left: {what}" for what in self._left(root)]
        return verdict

    # --- signals

    def _wait_for(self, lines: int) -> None:
        """Wait until so much was said, or nothing is any more."""

        def heard() -> bool:
            return self._log.read_bytes().count(b"\n") >= lines or not self._running()

        eventually(heard, 2.0)

    def _running(self) -> bool:
        return any(child.running for child in self._programs)

    def _send(self, name: str, choice: float) -> None:
        kind = "KILL" if name == "guardian" else name
        if name == "guardian":
            victims = [pid for pid, what in self._ours() if what == "guardian"]
        else:
            lines = [line.split() for line in self._log.read_text().splitlines()]
            said = [int(words[2]) for words in lines if words[0] == "up"]
            victims = [pid for pid in dict.fromkeys(said) if self._is_ours(pid)]
        if victims:
            victim = victims[int(choice * len(victims))]
            self._signal(victim, getattr(signal, f"SIG{kind}"), name)

    def _signal(self, pid: int, number: int, name: str) -> None:
        """Say so first, so that the judge hears it before anything comes of it."""
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if not self._is_ours(pid):
                return
            if number in (signal.SIGKILL, signal.SIGTERM):
                with self._log.open("a") as log:
                    log.write(f"signal {pid}\n")
            signal.pidfd_send_signal(process, number)
            self.sent[name] += 1
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    # --- who and what there is

    def _is_ours(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return False

    def _ours(self) -> Iterator[tuple[int, str]]:
        """Pid and role of all processes that belong to this storm."""
        return ((pid, role) for pid, role in self._processes() if role != "unclear")

    def _processes(self) -> Iterator[tuple[int, str]]:
        """The same, and all others that cannot be told from ours at the moment."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    environment, words = _told(entry, "environ"), _told(entry, "cmdline")
                    if self._mark in environment:
                        yield int(entry.name), _role(environment, words)
                    elif environment == words == [b""] and _is_changing(entry):
                        yield int(entry.name), "unclear"

    def _living(self) -> list[int]:
        """Who may be a member: one that is just ending has no memory any more, but its locks."""
        roles = ("member", "unclear")
        return [pid for pid, role in self._processes() if role in roles]

    def _inherited(self) -> Iterator[str]:
        """What programs that were started, for or by a cleanup too, have open of lastout's."""
        root = os.environ["LASTOUT_ROOT"]
        for pid, role in self._ours():
            with contextlib.suppress(OSError):
                for entry in Path(f"/proc/{pid}/fd").iterdir() if role in _PROGRAMS else ():
                    with contextlib.suppress(FileNotFoundError):
                        if os.readlink(entry).startswith(root):
                            yield f"the {role} {pid} had open: {os.readlink(entry)}"

    def _kill_all(self) -> list[int]:
        """Kill everyone who may be a member; who there was."""
        living = self._living()
        for pid in living:
            self._signal(pid, signal.SIGKILL, "KILL at the end")
        for child in self._programs:
            _ = child.running  # so that it is waited for
        return living

    def _left(self, root: Path) -> list[str]:
        mark = f"storm-{os.environ[MARK][:8]}"
        found: list[Any] = [*self.area.rglob("*"), *(root.iterdir() if root.is_dir() else ())]
        found += [path for path in SHARED_MEMORY.iterdir() if path.name.startswith(mark)]
        return [str(path) for path in found] + [f"{who}: {pid}" for pid, who in self._ours()]


def _told(entry: Path, what: str) -> list[bytes]:
    """Environment or command line, by the first of its threads that still has memory."""
    for place in (entry, *(entry / "task").iterdir()):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # that one has ended
            told = (place / what).read_bytes()
            if told:
                return told.split(b"\0")
    return [b""]


def _is_changing(entry: Path) -> bool:
    """Whether it has no memory because it is just ending, or becoming another program."""
    state, *rest = (entry / "stat").read_bytes().rpartition(b") ")[2].split()
    flags, threads = int(rest[5]), int(rest[16])
    # Of a process that ends the first thread may be dead before the others.
    return not flags & _PF_KTHREAD and (state not in b"ZX" or threads > 1)


def _role(environment: list[bytes], words: list[bytes]) -> str:
    if any(b"lastout._scopes.guardian.main" in word for word in words):
        return "guardian"
    # Of multiprocessing and of loky: they end with the last member, and remove its semaphores.
    if any(b"resource_tracker import" in word for word in words):
        return "tracker"
    if any(entry.startswith(b"LASTOUT_ARTIFACT=") for entry in environment):
        return "artifact"
    # Commands and functions that clean: whoever kills these has to expect to see them again.
    return "cleanup" if words[0] == b"/bin/sh" or b"-P" in words else "member"
