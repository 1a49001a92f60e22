"""The shim from Python: build it, arm it, read its tape."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("shim.c")
NOTHING, KILL_BEFORE, KILL_AFTER, TEAR, FAIL, FAIL_ON, STOP = range(7)
# Who is harmed: the process that arms, its child; or the program that it starts next, what
# that forks (a guardian), and what that forks (a job of the guardian).
ITSELF, CHILD, _PROGRAM, LATE = 0, 1, 4, 8
PROGRAM, GUARDIAN, JOB = _PROGRAM, _PROGRAM + 1, _PROGRAM + 2

_ENTRY = struct.Struct("iiii")


class Harm(NamedTuple):
    """What is done at the n-th call: a mode of the shim, and the error number for `FAIL`."""

    mode: int
    number: int = 0

    @property
    def fails(self) -> bool:
        """Whether the process goes on, with an error."""
        return self.mode in (FAIL, FAIL_ON)


ERRORS = ("ENOSPC", "EIO", "EMFILE", "EINTR", "EACCES")
HARMS = {
    "killed before": Harm(KILL_BEFORE),
    "killed after": Harm(KILL_AFTER),
    "torn": Harm(TEAR),
    **{name: Harm(FAIL, getattr(errno, name)) for name in ERRORS},
    **{f"{name} for good": Harm(FAIL_ON, getattr(errno, name)) for name in ("ENOSPC", "EMFILE")},
}


class Event(NamedTuple):
    """One entry of the tape; `shim.c` says what there is."""

    what: str
    pid: int
    value: int
    text: str
    more: bytes = b""


def compiler() -> str | None:
    """A C compiler, if there is one here."""
    return shutil.which("gcc") or shutil.which("cc")


def build(directory: Path) -> Path:
    """The shim, compiled into `directory`."""
    made = directory / "shim.so"
    tool = compiler()
    assert tool
    command = [tool, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made, SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return made


class Shim:
    """The shim in this process, which was started with it in `LD_PRELOAD`."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._arm = library.shim_arm
        self._arm.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        self._note = library.shim_note
        self._note.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p]
        self._used = library.shim_used
        self._used.restype = ctypes.c_long
        self._text = library.shim_text
        self._text.restype = ctypes.c_void_p
        self._place = library.shim_place
        self._place.argtypes = [ctypes.c_char_p]
        self._harmed = library.shim_harmed
        self._met = library.shim_met
        self._met.restype = ctypes.c_long
        self.rewind = library.shim_rewind
        self.bell = library.shim_bell
        self.disarm = library.shim_disarm  # this process, from now on
        self._calm = library.shim_calm

    def arm(self, at: int, harm: Harm, who: int = ITSELF) -> None:
        """Have harm done at the `at`-th call from now on, to this process or to one after it."""
        self._arm(at, *harm, who)

    def harmed(self) -> bool:
        """Whether the harm that this process has asked for was done, to whomever."""
        return bool(self._harmed())

    def calm(self) -> bool:
        """Call off all harm, in all processes; whether one has stopped, or is about to."""
        return bool(self._calm())

    def met(self) -> int:
        """How many calls were counted since the tape was rewound."""
        return int(self._met())

    def place(self, path: Path) -> None:
        """Say what it is that one has opened that is to be harmed late."""
        self._place(os.fsencode(path))

    def note(self, what: str, text: str = "", value: int = 0) -> None:
        """Put something on the tape."""
        self._note(what.encode(), value, text.encode(errors="surrogateescape"))

    def events(self) -> list[Event]:
        """All that is on the tape."""
        data = ctypes.string_at(self._text(), self._used())
        found, at = [], 0
        while at + _ENTRY.size <= len(data):
            size, whole, pid, value = _ENTRY.unpack_from(data, at)
            if not size:  # its writer was killed before it knew how long it would be
                at += 8
                continue
            if whole:
                what, text, more = data[at + _ENTRY.size : at + size].split(b"\0", 2)
                text_ = text.decode(errors="surrogateescape")
                found.append(Event(what.decode(), pid, value, text_, more))
            at += (size + 7) & ~7
        return found
