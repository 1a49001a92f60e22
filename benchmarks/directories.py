"""Directories: making one that goes for sure, and cleaning up those of the dead."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from functools import partial
from typing import TYPE_CHECKING

import lastout

from .measure import Line, medians, timed
from .places import child, directory
from .rivals import rival as optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

diskutils = optional("distributed.diskutils")
logging.getLogger("distributed").setLevel(logging.WARNING)  # it would name each directory


def lines(quick: bool) -> Iterator[Line]:
    """A directory that is made and removed; then those of somebody who was killed."""
    with directory() as place:
        yield from making(place, 10 if quick else 100, 2 if quick else 20)
    for number in (1, 10) if quick else (1, 10, 100):
        with directory() as place:
            yield from reaping(place, number, 1 if quick else 5)


def making(place: Path, times: int, rounds: int) -> Iterator[Line]:
    """Making a directory and removing it again, by those who promise to remove it."""
    scope = lastout.Scope("making", root=place / "root")
    rivals: dict[str, Callable[[], object]] = {
        "mkdtemp + rmtree": lambda: shutil.rmtree(tempfile.mkdtemp(dir=place)),
        "TemporaryDirectory": lambda: tempfile.TemporaryDirectory(dir=place).cleanup(),
    }
    if diskutils is not None:
        space = diskutils.WorkSpace(str(place / "space"))
        rivals["dask WorkSpace.new_work_dir"] = lambda: space.new_work_dir(prefix="w").release()
    cases = {"ours": lambda: scope.directory().release(), **rivals}

    def repeated(work: Callable[[], object]) -> float:
        return timed(lambda: [work() for _ in range(times)], times)

    took = medians({name: partial(repeated, work) for name, work in cases.items()}, rounds)
    scope.leave()
    for rival in rivals:
        yield Line("make and remove a directory", took["ours"], rival, took[rival])


def reaping(place: Path, number: int, rounds: int) -> Iterator[Line]:
    """Removing the directories of a killed process."""
    root, space = place / "root", place / "space"

    def ours() -> float:
        _killed(partial(_make_ours, root, number))
        reports: list[lastout.Report] = []
        took = timed(lambda: reports.append(lastout.reap(root)), number)
        if len(reports[0].done) != number:
            raise AssertionError(f"not all was reaped: {reports[0]}")
        return took

    def dask() -> float:
        _killed(partial(_make_dask, space, number))
        next_one = diskutils.WorkSpace(str(space))
        made: list[object] = []
        # There is no other way to ask for it in public: the next directory purges.
        took = timed(lambda: made.append(next_one.new_work_dir(prefix="next")), number)
        made.pop().release()  # type: ignore[attr-defined]
        if any(path.is_dir() for path in space.iterdir()):
            raise AssertionError("not all was purged")
        return took

    def tree() -> float:
        paths = [tempfile.mkdtemp(dir=place) for _ in range(number)]
        return timed(lambda: list(map(shutil.rmtree, paths)), number)

    rivals = {"shutil.rmtree": tree, **({"dask WorkSpace": dask} if diskutils is not None else {})}
    took = medians({"ours": ours, **rivals}, rounds)
    for rival in rivals:
        yield Line("reap each of {} directories", took["ours"], rival, took[rival], size=number)


def _make_ours(root: Path, number: int) -> None:
    scope = lastout.Scope("killed", root=root)
    for _ in range(number):
        scope.directory()


def _make_dask(space: Path, number: int) -> None:
    workspace = diskutils.WorkSpace(str(space))
    made = [workspace.new_work_dir(prefix="worker-") for _ in range(number)]
    assert len(made) == number
    os.kill(os.getpid(), signal.SIGKILL)  # before `made` goes, and its directories with it


def _killed(work: Callable[[], object]) -> None:
    """Do this in a child that is killed then."""

    def until_killed() -> None:
        work()
        os.kill(os.getpid(), signal.SIGKILL)

    _, status = os.waitpid(child(until_killed), 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError(f"the child ended with {status} before it was killed")
