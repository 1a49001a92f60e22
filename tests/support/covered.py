"""Coverage of what coverage.py does not see by itself; `nox -s coverage` installs this.

It is imported at the start of each Python process of that session's environment, by a
`.pth` file of its own, after coverage.py.  Four kinds of code would count as never run:

- a thread that `_thread` starts: coverage.py follows those of `threading`;
- a process that dies of a signal which it sends to itself: nothing is saved;
- a guardian, `python -I -S`, which reads no `.pth` file;
- a program of a test that is isolated in the same way, on purpose: those stay unseen.

Nothing in `src` knows of it.
"""

from __future__ import annotations

import _posixsubprocess
import _thread
import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import coverage

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Put before the program of a `python -I -S -c PROGRAM ...`, which stays a word of its own:
# by it guardians are known.
_BEFORE = f"""\
import sys
sys.path.append({os.path.dirname(__file__)!r})
import coverage, covered
sys.path.pop()
coverage.process_startup()
covered.begin()
exec(sys.argv.pop(1))
"""


def begin() -> None:
    """See them from now on, if this process is measured."""
    if coverage.Coverage.current() is None:
        return
    _thread.start_new_thread = _followed(_thread.start_new_thread)
    os.kill = _saving(os.kill, lambda pid, _: pid in (0, os.getpid()))
    os.killpg = _saving(os.killpg, lambda group, _: group == os.getpgrp())
    signal.raise_signal = _saving(signal.raise_signal, _is_called_to_die)
    # `subprocess` has these two ways, and takes its arguments at this place.
    _posixsubprocess.fork_exec = _measuring(_posixsubprocess.fork_exec, 0)
    os.posix_spawn = _measuring(os.posix_spawn, 1)


def _followed(start: Callable[..., int]) -> Callable[..., int]:
    def start_new_thread(function: Callable[..., object], args: tuple[Any, ...], *rest: Any) -> int:
        trace = threading.gettrace()

        def run(*given: Any, **named: Any) -> None:
            sys.settrace(trace)
            function(*given, **named)

        return start(run if callable(function) else function, args, *rest)

    return start_new_thread


def _saving(function: Callable[..., Any], may_end: Callable[..., bool]) -> Callable[..., Any]:
    def save_first(*args: Any) -> Any:
        if may_end(*args):
            _save()
        return function(*args)

    return save_first


def _is_called_to_die(signum: int) -> bool:
    return sys._getframe(2).f_code.co_name == "die_of"  # and not by a test, a thousand times


def _save() -> None:
    current = coverage.Coverage.current()
    # No descriptors, a full disk, another user: what such a process ran is not counted.
    with contextlib.suppress(Exception):
        current.save()


def _measuring(start: Callable[..., int], place: int) -> Callable[..., int]:
    def start_measured(*given: Any, **named: Any) -> int:
        words = list(given[place])
        if words[1:4] == ["-I", "-S", "-c"]:
            words.insert(4, _BEFORE)
            given = (*given[:place], words, *given[place + 1 :])
        return start(*given, **named)

    return start_measured


if __name__ != "support.covered":
    begin()
