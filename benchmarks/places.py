"""Places and processes to measure in: a directory for a while, children that end by themselves."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Prepare = Callable[[], tuple[Callable[[], object], Callable[[], object]]]


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that is removed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="lastout-benchmark-") as path:
        yield Path(path)


def child(work: Callable[[], object]) -> int:
    """Fork a child that does this and ends with status 0; without exit handlers."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def crowd(number: int, prepare: Prepare) -> float:
    """Seconds from a common start until the last of some processes has done its work.

    Args:
        number: how many processes.
        prepare: called in each of them; returns its work, and what to do after
            it, which does not count.

    Raises:
        RuntimeError: one of them failed.
    """
    ready, go, done, over = (os.pipe() for _ in range(4))

    def work() -> None:
        # Else the ends that the parent holds would never be the last ones.
        for _, end in (go, over):
            os.close(end)
        work, after = prepare()
        os.write(ready[1], b"r")
        os.read(go[0], 1)
        work()
        os.write(done[1], b"d")
        os.read(over[0], 1)
        after()

    pids = [child(work) for _ in range(number)]
    for _, end in (ready, done):
        os.close(end)
    try:
        _read(ready[0], number)
        began = perf_counter()
        os.close(go[1])
        _read(done[0], number)
        took = perf_counter() - began
    finally:
        os.close(over[1])
        ended = [os.waitpid(pid, 0)[1] for pid in pids]
        for end, _ in (ready, go, done, over):
            os.close(end)
    if any(ended):
        raise RuntimeError(f"of {number} processes some failed: {ended}")
    return took


def _read(end: int, number: int) -> None:
    """Read so many bytes, or until nobody is left to write any."""
    while number > 0:
        got = len(os.read(end, number))
        if not got:
            raise RuntimeError(f"{number} processes ended too early")
        number -= got
