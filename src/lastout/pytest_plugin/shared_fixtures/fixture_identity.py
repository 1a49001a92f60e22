"""Fixture identity: the function, names and parameters that a shared fixture depends on.

Workers mean the same fixture if these are the same for them:

    its place in the source             the same function
    its name, and module or class       the same fixture: one function may make many
    the fixtures that it asks for,      another file or class may override them
    and the fixtures that these ask for
    the parameters of all these

pytest tells all that by its hooks.  A fixture that is asked for by `request.getfixturevalue`
is known only after the set-up, when it can only be compared.

Tested by: tests/pytest_plugin/test_fixture_identity.py
"""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from .setup_teardown import source_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

    Fixture = pytest.FixtureDef[Any]

FIXTURE_IDENTITY = pytest.StashKey["FixtureIdentity"]()


class FixtureIdentity:
    """The session's fixtures that are set up in this worker, in that order."""

    def __init__(self) -> None:
        self._asked: dict[Fixture, dict[str, None]] = {}  # each, and the names that it asked for
        self._being_set_up: list[Fixture] = []
        self._item: pytest.Item | None = None

    # Hooks of pytest.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Record that fixtures are set up for this test from now on."""
        self._item = item

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: Fixture, request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Record the fixtures that this fixture asks for, until it is set up."""
        if fixturedef.scope != "session":  # a shared fixture can only ask for session fixtures
            return (yield)
        asked = self._asked[fixturedef] = {}
        ask = request.getfixturevalue

        def getfixturevalue(argname: str) -> Any:
            asked[argname] = None
            return ask(argname)

        # Wrapped, because no hook tells when it asks for a fixture that is up already.
        request.getfixturevalue = getfixturevalue  # type: ignore[method-assign]
        self._being_set_up.append(fixturedef)
        try:
            return (yield)
        finally:
            self._being_set_up.pop()
            del request.getfixturevalue

    @pytest.hookimpl
    def pytest_fixture_post_finalizer(self, fixturedef: Fixture) -> None:
        """Forget a fixture that is not up any more."""
        self._asked.pop(fixturedef, None)

    # Of the fixture that is being set up.

    def key(self, numbers: Mapping[str, int]) -> str:
        """A key that all workers have for the same fixture, and for no other fixture.

        Args:
            numbers: the numbers of the parameters of the fixtures that it depends on.
        """
        places = [_place(one) for one in self._rests_on(False)[0]]
        text = json.dumps([places, sorted(numbers.items())])
        return sha256(text.encode()).hexdigest()[:16]

    def known(self) -> set[str]:
        """Its name, and the names of all fixtures that it depends on by arguments."""
        return self._rests_on(False)[1]

    def seen(self) -> set[str]:
        """The names of fixtures that it, or a fixture behind it, asked for besides."""
        return self._rests_on(True)[1] - self.known()

    def params(self, names: set[str]) -> dict[str, object]:
        """The parameters with which the fixtures of these names are up; most have none."""
        params = getattr(getattr(self._item, "callspec", None), "params", {})
        return {name: params[name] for name in names if name in params}

    def _rests_on(self, all_seen: bool) -> tuple[list[Fixture], set[str]]:
        fixture = self._being_set_up[-1]
        found, names = [fixture], {fixture.argname}
        for one in found:  # it grows
            seen = self._asked[one] if all_seen else ()
            for name in (*one.argnames, *seen):
                names.add(name)
                other = self._behind(name, one)
                if other is not None and other not in found:
                    found.append(other)
        return found, names

    def _behind(self, name: str, asking: Fixture) -> Fixture | None:
        """The fixture that `asking` gets by this name: the nearest to the test, or the next."""
        assert self._item is not None
        depths = {node.nodeid: depth for depth, node in enumerate(self._item.listchain())}
        there = [one for one in self._asked if one.argname == name and _home(one) in depths]
        there.sort(key=lambda one: depths[_home(one)])
        if asking in there:  # it overrides a fixture of the same name, and asks for that
            there = there[: there.index(asking)]
        return there[-1] if there else None


def _home(fixture: Fixture) -> str:
    """The module, class or directory whose tests see it."""
    node = getattr(fixture, "node", None)  # which pytest has from 9.1 on
    return fixture.baseid if node is None else str(node.nodeid)


def _place(fixture: Fixture) -> str:
    return f"{fixture.argname} of {_home(fixture)} at {source_place(fixture.func)}"
