"""Packing: values and errors of shared fixtures, on their way to other workers."""

from __future__ import annotations

import traceback

import pytest

from .._shared import pickling
from ..errors import SharedFixtureFailed, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .facts import State
    from .halves import Definition

# What a set-up fails with; anything else interrupts the run, and says nothing of the set-up.
_OUTCOMES: Final = (pytest.fail.Exception, pytest.skip.Exception)
FAILURES: Final = (Exception, *_OUTCOMES)


def copied(definition: Definition, value: object, what: str) -> tuple[bytes, Any]:
    """The value as it is pickled, and as every worker gets it."""
    try:
        pickled = pickling.dumps(value, strictly=True)
        return pickled, pickling.loads(pickled)
    except Exception as error:
        raise UsageError(
            f"{definition} has a {what} that cannot be pickled for the other workers"
            f" ({type(error).__name__}: {error}); share what is needed to get at it, such as an"
            " address or a path, and open it in a fixture that is not shared"
        ) from error


def packed_error(error: BaseException, state: State) -> bytes:
    """An error that a set-up failed with, or what stands for one that cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, _OUTCOMES):
        # These say that they are built-in, and so cannot be pickled.
        return pickling.dumps((isinstance(error, pytest.skip.Exception), str(error), text))
    try:
        pickled = pickling.dumps((None, error, text))
        if type(pickling.loads(pickled)[1]) is type(error):
            return pickled
    except Exception as why:
        text = f"{text}\n(it cannot be pickled: {why})"
    instead = SharedFixtureFailed(
        f"{state.fixture} could not be set up by the worker {state.worker}:"
        f" {type(error).__name__}: {error}",
        fixture=state.fixture,
        worker=state.worker,
    )
    return pickling.dumps((None, instead, text))


def unpacked_error(pickled: bytes, state: State) -> BaseException:
    """The same error, with a note of how and where it came about."""
    skipped, error, text = pickling.loads(pickled)
    if skipped is not None:
        error = pytest.skip.Exception(error) if skipped else pytest.fail.Exception(error)
    assert isinstance(error, BaseException)
    error.add_note(f"This is how {state.fixture} failed in the worker {state.worker}:\n{text}")
    return error
