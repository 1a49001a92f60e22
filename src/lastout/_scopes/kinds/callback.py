"""Functions as cleaners: called by whoever cleans, long after their process is gone.

A function that others can import is recorded by its name, with arguments that
JSON gives back exactly as they were.  Anything else, such as a closure, a
lambda or a function of the main script, is pickled with all that it uses
(`pickling`).

    cleaned by its maker    called directly: the very function, on this thread and
                            for as long as it takes; where there is a time limit,
                            on another one that can be abandoned
    cleaned by another      called in a process of its own, with the maker's
                            sys.path and directory: whatever it does there, and
                            however long, is an error at most; in a program that has no
                            Python to start (a frozen one) that is a fork of the cleaner
"""

from __future__ import annotations

import base64
import json
import os
import sys
from functools import partial
from math import isfinite

from ... import pickling
from ..._exits import runner
from ..._platform import files
from ..._platform.interpreter import interpreter
from ...deadline import Deadline, check_seconds
from ...errors import CleanupFailed, CleanupTimeout, UsageError
from . import command, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

# -P: nothing is imported from the directory it happens to start in.  What is found by the maker's
# path may be another version of lastout: so the name is the old one, which is there in each.
_CHILD: Final = (
    "import json, sys; call = json.load(sys.stdin); sys.path[:] = call['path'];"
    " from lastout._shared.recorded import make; make(call)"
)

# What this process itself made, by its pid: a forked child has the entries too,
# but is another process than the maker.
_live: dict[tuple[int, str], Callable[[], object]] = {}


def prepare(
    func: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    timeout: float | None,
) -> tuple[str, dict[str, Any]]:
    """Write a call down so that another process can make it.

    Raises:
        UsageError: it can neither be imported nor pickled; nothing was recorded.
        TypeError: it is not callable.
    """
    if not callable(func):
        raise TypeError(f"a callback must be callable, not {func!r}")
    name = pickling.name_of(func)
    data: dict[str, Any] = {
        "token": paths.fresh_name("callback"),
        "timeout": check_seconds(timeout, "timeout"),
        "cwd": _here(),
        "path": [os.path.abspath(entry) for entry in sys.path],
    }
    if pickling.can_be_imported(func) and _survives_json([list(args), dict(kwargs)]):
        return name, {**data, "args": list(args), "kwargs": dict(kwargs)}
    try:
        pickled = pickling.dumps((func, args, dict(kwargs)))
    except Exception as error:
        raise UsageError(
            f"the callback {name} can neither be imported by another process nor pickled"
            f" ({type(error).__name__}: {error}); use a function of a module, and arguments that"
            " can be pickled"
        ) from error
    return name, {**data, "pickle": base64.b85encode(pickled).decode()}


def create(
    data: Mapping[str, Any],
    func: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    """Keep the very function for the case that this process cleans."""
    _live[os.getpid(), data["token"]] = partial(func, *args, **kwargs)


def forget(token: str) -> None:
    """It will not be called."""
    _live.pop((os.getpid(), token), None)


def clean_callback(location: str, data: Mapping[str, Any], deadline: Deadline) -> None:
    """Make a recorded call.

    Raises:
        CleanupFailed: it raised, or ended its process, or cannot be imported any more.
        CleanupTimeout: it did not return in its time.
    """
    live = _live.get((os.getpid(), data["token"]))
    if live is not None:
        _call_here(live, location, deadline.share(False, data["timeout"]))
    else:
        # Its maker is not here to see how long it holds others up.
        own = command.TIME_LIMIT if data["timeout"] is None else data["timeout"]
        limit = deadline.share(False, min(own, command.TIME_LIMIT))
        _call_elsewhere(location, data, Deadline(limit))
    forget(data["token"])


def _call_here(call: Callable[[], object], location: str, seconds: float | None) -> None:
    try:
        if seconds is None:
            _call_directly(call)
            return
        in_time = runner.call_within(call, seconds)
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and not error.code:
            return
        raise CleanupFailed(
            f"the callback {location} raised {type(error).__name__}: {error}",
            kind="callback",
            location=location,
        ) from error
    if not in_time:
        raise CleanupTimeout(
            f"the callback {location} did not return in {seconds:.3g} s and was abandoned",
            kind="callback",
            location=location,
        )


def _call_directly(call: Callable[[], object]) -> None:
    """Call it on this thread, as some things may only be closed by who opened them."""
    me, status = os.getpid(), 1
    try:
        call()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(bool(error.code))
        raise
    finally:
        if os.getpid() != me:
            # A child that the call forked, and that comes out of it: the cleaning is its
            # parent's affair.
            os._exit(status)


def _call_elsewhere(location: str, data: Mapping[str, Any], deadline: Deadline) -> None:
    call = {**data, "name": location}
    python = interpreter()
    if python is None:
        # `sys.executable` is no Python: it would be this whole program that starts again.
        from . import forked

        forked.make(call, deadline)
        return
    told = files.scratch_file()
    try:
        with open(told, "w", encoding="ascii", closefd=False) as file:
            json.dump(call, file)
        os.lseek(told, 0, os.SEEK_SET)
        argv = [python, "-P", "-c", _CHILD]
        command.run("callback", location, argv, {"cwd": data["cwd"], "stdin": told}, {}, deadline)
    finally:
        os.close(told)


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed under us
        return "/"


def _survives_json(value: object) -> bool:
    """Whether JSON gives back exactly this value: no tuples, no keys but text, no subclasses."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return True
    if kind is float:
        return isfinite(value)  # type: ignore[arg-type]
    try:
        if kind is list:
            return all(map(_survives_json, value))  # type: ignore[call-overload]
        if kind is dict:
            every: dict[object, object] = value  # type: ignore[assignment]
            return all(type(key) is str and _survives_json(every[key]) for key in every)
    except RecursionError:  # it contains itself
        return False
    return False
