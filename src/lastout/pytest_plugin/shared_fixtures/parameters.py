"""Parameters: the parameters of fixtures, by numbers that are the same in all workers.

Workers exchange the pickled parameters; equal parameters have the same number.

Tested by: tests/pytest_plugin/test_fixture_identity.py, tests/pytest_plugin/test_faults.py
"""

from __future__ import annotations

from hashlib import sha256

from ... import pickling
from ...errors import UsageError
from .packing import pickled_copy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from .fixture_identity import FixtureIdentity
    from .run_state import RunState
    from .setup_teardown import FixtureDefinition

UNKNOWN: Final = -1


class ParameterNumbers:
    """The parameters of one run, by numbers.

    Args:
        run_state: the run state.
        fixture_identity: the fixtures of this worker and their dependencies.
    """

    def __init__(self, run_state: RunState, fixture_identity: FixtureIdentity) -> None:
        self._run_state = run_state
        self._fixture_identity = fixture_identity

    def known(self, definition: FixtureDefinition) -> dict[str, int]:
        """The numbers for the fixture that is being set up, and for those behind its arguments.

        Raises:
            UsageError: workers cannot tell which parameter is meant.
        """
        params = self._fixture_identity.params(self._fixture_identity.known())
        return {name: self._number_of(name, params[name], definition) for name in params}

    def asked(self, definition: FixtureDefinition, names: set[str]) -> dict[str, int | None]:
        """The numbers for fixtures that it asked for by `getfixturevalue` during its set-up."""
        params = self._fixture_identity.params(names)
        numbers: dict[str, int | None] = dict.fromkeys(sorted(names))
        for name, param in params.items():
            try:
                numbers[name] = self._number_of(name, param, definition)
            except Exception:  # raised later, in the first worker that needs the number
                numbers[name] = UNKNOWN
        return numbers

    def check(
        self, definition: FixtureDefinition, asked: Mapping[str, int | None], worker: str
    ) -> None:
        """Check that another worker has set up the same fixture that this worker would.

        Raises:
            UsageError: the parameters differ, or are unknown.
        """
        for name, number in self.asked(definition, set(asked)).items():
            if number == UNKNOWN or number != asked[name]:
                raise UsageError(
                    f"{definition} asks for {name!r} by getfixturevalue, and was set up by the"
                    f" worker {worker} with another parameter of that; name it among the arguments"
                    " of the fixture that asks for it, so that workers know before which one is"
                    " meant"
                )

    def _number_of(self, name: str, param: object, definition: FixtureDefinition) -> int:
        key = sha256(name.encode()).hexdigest()[:16]
        with self._run_state.locked(f"params-{key}"):
            pickled = self._run_state.params(key)
            known = [] if pickled is None else pickling.loads(pickled)
            for number, other in enumerate(known):
                if _equal(other, param):
                    return number
            what = f"parameter of {name!r} behind it"
            pickled, copy = pickled_copy(definition, [*known, param], what)
            if not _equal(copy[-1], param):
                raise UsageError(
                    f"{definition} was asked for with {param!r} for {name!r}, which does not equal"
                    " a copy of itself, so that workers cannot tell whether they mean the same; use"
                    " plain values, or give its class an __eq__",
                )
            self._run_state.set_params(key, pickled)
            return len(known)


def _equal(one: object, other: object) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # for example, comparing arrays gives no single answer
        return False
