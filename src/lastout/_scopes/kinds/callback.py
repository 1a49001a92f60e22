"""CallbackKind: calls a function as the cleanup, even after the process that recorded it ended.

A function that another process can import is recorded by its name, if JSON gives back its
arguments exactly.  Any other function, such as a closure, a lambda or a function of the main
script, is pickled with the globals that it uses (`pickling`).

    the recording process cleans    it calls the function itself, on the thread that cleans and
                                    without a limit; where a time limit applies, on a further
                                    thread, which can be abandoned
    another process cleans          it has a child make the call, with the recorded sys.path and
                                    directory, so that a crash or a hang is only an error; the
                                    child is a fork in a frozen program, which has no Python

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

# -P, so that no module is imported from the directory in which the child starts.  The recorded
# path may lead to another version of lastout, so the module has its old name, which exists in all.
_CHILD: Final = (
    "import json, sys; call = json.load(sys.stdin); sys.path[:] = call['path'];"
    " from lastout._shared.recorded import make; make(call)"
)

# The calls that this process recorded.  By pid, because a forked child inherits the entries, but
# is not the process that recorded the calls.
_live: dict[tuple[int, str], Callable[[], object]] = {}


class CallbackKind(Kind):
    """A function that is called as the cleanup."""

    name = "callback"
    may_need_scope = True

    def limit(self, data: Data) -> float | None:
        """`None`, because in the recording process only `leave(timeout=...)` sets a limit."""
        return None

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Make the call.

        Raises:
            CleanupFailed: the function raised, or ended its process, or cannot be imported any
                more.
            CleanupTimeout: the function did not return in time.
        """
        live = _live.get((os.getpid(), data["token"]))
        if live is not None:
            _call_here(live, location, deadline.left())
        else:
            # Limited, because the recording process is not there to see how long it takes.
            _call_elsewhere(location, data, Deadline(deadline.share(False, command.TIME_LIMIT)))
        self.forget(location, data)

    def forget(self, location: str, data: Data) -> None:
        """Drop the function, because it will not be called."""
        _live.pop((os.getpid(), data["token"]), None)


def recipe(
    func: Callable[..., object],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Recipe[None]:
    """A function that the cleaning process calls as the cleanup.

    Its output is shown only if this process cleans; if another process cleans, the output is
    part of the error, if the call fails.

    Args:
        func: the function; it is pickled as it is now if it cannot be imported.
        args: its positional arguments.
        kwargs: its keyword arguments.

    Raises:
        UsageError: `func` can neither be imported nor pickled.
        TypeError: `func` is not callable.
    """
    if not callable(func):
        raise TypeError(f"a callback must be callable, not {func!r}")
    kwargs = {} if kwargs is None else dict(kwargs)
    name, token = pickling.name_of(func), paths.fresh_name("callback")
    data = {
        "token": token,
        "timeout": None,  # former versions read it
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
    """A call as data, from which another process can make it."""
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
    """Call it on this thread, because some objects may only be closed by their own thread."""
    me, status = os.getpid(), 1
    try:
        call()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(bool(error.code))
        raise
    finally:
        if os.getpid() != me:
            # This is a child that the call forked, and that returned from the call.  It must not
            # go on with the cleaning, which its parent does.
            os._exit(status)


def _call_elsewhere(location: str, data: Mapping[str, Any], deadline: Deadline) -> None:
    call = {**data, "name": location}
    python = interpreter()
    if python is None:
        # `sys.executable` is no Python, and would start this whole program again.
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
    except FileNotFoundError:  # the working directory was removed
        return "/"
