"""Reaping: the files of a member that was killed."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import lastout

from .measure import Line, medians, timed
from .places import child, directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUDGET = 1.5
MEANT = 10_000  # by the budget
MANY = (10, 100, 1_000, MEANT, 100_000)
ROUNDS = {MEANT: 9, 100_000: 1}


def lines(quick: bool) -> Iterator[Line]:
    """Cleaning up after it, beside the same files removed by one who knows of them."""
    for number in MANY[:3] if quick else MANY:
        rounds = 1 if quick else ROUNDS.get(number, 5)
        with directory() as place:
            took = medians(cases(place, number), rounds)
        budget = BUDGET if number == MEANT else None
        what = "reap {} files"
        yield Line(what, took["ours"], "os.unlink in a loop", took["loop"], budget, size=number)
        yield Line(what, took["ours"], "shutil.rmtree", took["tree"], size=number)


def cases(place: Path, number: int) -> dict[str, Callable[[], float]]:
    """Ours and the rivals; making the files does not count."""
    root, files = place / "root", place / "files"
    paths = [str(files / f"frame-{one:05}") for one in range(number)]

    def ours() -> float:
        files.mkdir()
        wait_for_kill(child(lambda: record(root, paths)))
        reports: list[lastout.Report] = []
        took = timed(lambda: reports.append(lastout.reap(root)))
        [report] = reports
        if not report.ok or len(report.done) != number:
            raise AssertionError(f"not all was reaped: {report}")
        files.rmdir()
        return took

    def loop() -> float:
        _make(files, paths)
        took = timed(lambda: _unlink(paths))
        files.rmdir()
        return took

    def tree() -> float:
        _make(files, paths)
        return timed(lambda: shutil.rmtree(files))

    return {"ours": ours, "loop": loop, "tree": tree}


def record(root: Path, paths: list[str]) -> None:
    """Make all files in a scope, and be killed."""
    scope = lastout.Scope("killed", root=root)
    for path in paths:
        scope.file(path)
    os.kill(os.getpid(), signal.SIGKILL)


def _unlink(paths: list[str]) -> None:
    for path in paths:
        os.unlink(path)


def _make(files: Path, paths: list[str]) -> None:
    files.mkdir()
    for path in paths:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def wait_for_kill(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError(f"the member ended with {status} before it was killed")
