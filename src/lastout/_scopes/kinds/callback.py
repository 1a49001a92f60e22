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

Tested by: tests/shared/test_callbacks.py
"""

from __future__ import annotations

import base64
import json
import os
import sys
from functools import partial

from ... import pickling
from ..._exits import runner
from ..._platform import files
from ..._platform.interpreter import interpreter
from ...deadline import Deadline
from ...errors import CleanupFailed, CleanupTimeout, UsageError
from . import command, paths
from .base import Kind, Recipe
from .json_values import survives_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from .base import Data

# -P: nothing is imported from the directory it happens to start in.  What is found by the maker's
# path may be another version of lastout: so the name is the old one, which is there in each.
_CHILD: Final = (
    "import json, sys; call = json.load(sys.stdin); sys.path[:] = call['path'];"
    " from lastout._shared.recorded import make; make(call)"
)

# What this process itself made, by its pid: a forked child has the entries too,
# but is another process than the maker.
_live: dict[tuple[int, str], Callable[[], object]] = {}


class CallbackKind(Kind):
    """A function that is called as the cleanup."""

    name = "callback"
    may_need_scope = True

    def limit(self, data: Data) -> float | None:
        """None: in the process that recorded it, whoever leaves says what is too long."""
        return None

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Make the call.

        Raises:
            CleanupFailed: it raised, or ended its process, or cannot be imported any more.
            CleanupTimeout: it did not return in its time.
        """
        live = _live.get((os.getpid(), data["token"]))
        if live is not None:
            _call_here(live, location, deadline.left())
        else:
            # Its maker is not here to see how long it holds others up.
            _call_elsewhere(location, data, Deadline(deadline.share(False, command.TIME_LIMIT)))
        self.forget(location, data)

    def forget(self, location: str, data: Data) -> None:
        """It will not be called."""
        _live.pop((os.getpid(), data["token"]), None)


def recipe(
    func: Callable[..., object],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Recipe[None]:
    """A function that is called as the cleanup, in whichever process cleans.

    What it prints is shown only if this very process cleans; else it is part of
    the error, if there is one.

    Args:
        func: the function; one that cannot be imported is pickled, as it is now.
        args: what it is called with, by position.
        kwargs: what it is called with, by name.

    Raises:
        UsageError: it can neither be imported nor pickled.
        TypeError: it is not callable.
    """
    if not callable(func):
        raise TypeError(f"a callback must be callable, not {func!r}")
    kwargs = {} if kwargs is None else dict(kwargs)
    name, token = pickling.name_of(func), paths.fresh_name("callback")
    data = {
        "token": token,
        "timeout": None,  # former versions look at it
        "cwd": _here(),
        "path": [os.path.abspath(entry) for entry in sys.path],
        **_written(name, func, args, kwargs),
    }

    def create() -> tuple[None, Data]:
        _live[os.getpid(), token] = partial(func, *args, **kwargs)
        return None, {}

    return Recipe(name, data, create)


def _written(
    name: str, func: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Data:
    """A call, so that another process can make it."""
    if pickling.can_be_imported(func) and survives_json([list(args), kwargs]):
        return {"args": list(args), "kwargs": kwargs}
    try:
        pickled = pickling.dumps((func, args, kwargs))
    except Exception as error:
        raise UsageError(
            f"the callback {name} can neither be imported by another process nor pickled"
            f" ({type(error).__name__}: {error}); use a function of a module, and arguments that"
            " can be pickled"
        ) from error
    return {"pickle": base64.b85encode(pickled).decode()}


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
