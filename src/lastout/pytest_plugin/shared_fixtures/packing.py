"""Packing: values and errors of shared fixtures, on their way to other workers.

Tested by: tests/pytest_plugin/test_crashes.py, tests/pytest_plugin/test_faults.py
"""

from __future__ import annotations

import traceback

import pytest

from ... import pickling
from ...errors import SharedFixtureFailed, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .messages import FixtureState
    from .setup_teardown import FixtureDefinition

# The exceptions of a failed set-up; any other interrupts the run, and says nothing of the set-up.
# The first match counts, because an xfail is a fail as well.
_OUTCOMES: Final = {
    "skip": pytest.skip.Exception,
    "xfail": pytest.xfail.Exception,
    "fail": pytest.fail.Exception,
}
FAILURES: Final[tuple[type[BaseException], ...]] = (Exception, *_OUTCOMES.values())


def pickled_copy(definition: FixtureDefinition, value: object, what: str) -> tuple[bytes, Any]:
    """The pickled value, and the copy that every worker gets."""
    try:
        pickled = pickling.dumps(value, strictly=True)
        return pickled, pickling.loads(pickled)
    except Exception as error:
        raise UsageError(
            f"{definition} has a {what} that cannot be pickled for the other workers"
            f" ({type(error).__name__}: {error}); share what is needed to get at it, such as an"
            " address or a path, and open it in a fixture that is not shared"
        ) from error


def pickle_error(error: BaseException, state: FixtureState) -> bytes:
    """Pickle the error of a set-up, or a substitute if it cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    for kind, outcome in _OUTCOMES.items():
        if isinstance(error, outcome):
            # By their fields, because these classes name a wrong module and cannot be pickled.
            told: Any = error
            return pickling.dumps((kind, (told.msg, told.pytrace), text))
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


def unpickle_error(pickled: bytes, state: FixtureState) -> BaseException:
    """The same error; if it is a failure, with a note of how and where it came about."""
    kind, error, text = pickling.loads(pickled)
    if kind is not None:
        message, pytrace = error
        error = _OUTCOMES[kind](message, pytrace=pytrace)
    assert isinstance(error, BaseException)
    if kind not in ("skip", "xfail"):  # which pytest prints in one line
        error.add_note(f"This is how {state.fixture} failed in the worker {state.worker}:\n{text}")
    return error
