"""Output: an error of standard output ends the command, an error of standard error does not.

Both can be closed, full, or a pipe without a reader.  The interpreter would try refused output
again at its end, complain and change the status, so after an error the descriptor leads
nowhere.

Tested by: tests/cli/test_output.py
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress

from ..errors import LastoutError, SystemRefused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


@contextmanager
def printing() -> Iterator[TextIO | None]:
    """Standard output, for this block to print to; `None` if there is none.

    Raises:
        BrokenPipeError: its reader has closed the pipe.
        SystemRefused: it cannot be written to.
    """
    try:
        yield sys.stdout
    except OSError as error:
        _lead_nowhere(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise SystemRefused(
            f"cannot write to standard output: {error.strerror or error}; what was printed is"
            " not all there is",
            number=error.errno,
        ) from error


def flush() -> None:
    """Write buffered output; raises as `printing`."""
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        _lead_nowhere(sys.stderr)
    with printing() as out:
        if out:
            out.flush()


def print_error(text: str) -> None:
    """Print a line on standard error; do nothing if that cannot be written to."""
    if sys.stderr is None:
        return
    try:
        print(f"lastout: {text}", file=sys.stderr, flush=True)
    except OSError:
        _lead_nowhere(sys.stderr)


def describe_error(error: BaseException) -> str:
    """Why something failed, in a line; the type is named unless it is an error of lastout."""
    if isinstance(error, LastoutError):
        return str(error)
    return ": ".join(filter(None, (type(error).__name__, str(error))))


def _lead_nowhere(stream: TextIO) -> None:
    # No descriptor of its own, or none left to open: the interpreter complains, no more.
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
