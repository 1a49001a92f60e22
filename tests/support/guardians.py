"""Guardians that tests look for: which processes are one, and of which scope."""

from __future__ import annotations

import os

import psutil

from .waiting import eventually

MARK = "lastout-guardian"  # in the command line of each


def guardians(scope: str | os.PathLike[str]) -> list[psutil.Process]:
    """The guardians of a scope, and the jobs that they have begun."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:  # it has ended just now
            continue
        if MARK in words and os.fspath(scope) in words:
            found.append(process)
    return found


def guardian(scope: str | os.PathLike[str]) -> psutil.Process:
    """The guardian of a scope, now or in a moment."""
    found: list[psutil.Process] = []

    def on_its_own() -> bool:
        # Not the one that starts it, and is about to end.
        found[:] = [one for one in guardians(scope) if _leads_a_session(one.pid)]
        return len(found) == 1 and _is_ready(found[0])

    assert eventually(on_its_own), f"guardians of {scope}: {found}"
    return found[0]


def _leads_a_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:  # it has ended just now
        return False


def _is_ready(process: psutil.Process) -> bool:
    """Whether it sleeps because it has nothing to do."""
    try:
        with open(f"/proc/{process.pid}/wchan", encoding="ascii") as wchan:
            return process.status() == psutil.STATUS_SLEEPING and "poll" in wchan.read()
    except (OSError, psutil.Error):
        return False


def has_ended(process: psutil.Process) -> bool:
    """Whether it has ended, though process 1 may take its time to wait for it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
