"""Messages: the values in the run state, by which the processes of a run communicate.

The module imports nothing, because the controller always loads it.

Tested by: tests/pytest_plugin/test_shared.py
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SETTING_UP = "setting up"
UP = "up"
FAILED = "failed"
GONE = "gone"


class FixtureState:
    """The state of one shared fixture (with one parameter).

    Attributes:
        fixture: its name and place, for messages.
        worker: xdist's name of the worker that set it up.
        member: the token of that worker in the scope.
        begun: when its set-up began, on the machine's monotonic clock, in nanoseconds.
        made: when its set-up was done; 0 before that.
        status: "setting up", "up", "failed" or "gone".
        finishes: whether its function has code after the `yield`.
        teardown: whether it has a `teardown=`.
        asked: the fixtures that it asked for during set-up, with the number of the parameter of
            each; `None` for no parameter, -1 for a parameter without a number.
    """

    __slots__ = (
        "asked",
        "begun",
        "finishes",
        "fixture",
        "key",
        "made",
        "member",
        "status",
        "teardown",
        "worker",
    )

    def __init__(
        self,
        key: str,
        fixture: str,
        worker: str,
        member: str,
        begun: int,
        made: int = 0,
        status: str = SETTING_UP,
        finishes: bool = False,
        teardown: bool = False,
        asked: dict[str, int | None] | None = None,
    ) -> None:
        self.key = key
        self.fixture = fixture
        self.worker = worker
        self.member = member
        self.begun = begun
        self.made = made
        self.status = status
        self.finishes = finishes
        self.teardown = teardown
        self.asked = asked or {}

    @property
    def has_turn(self) -> bool:
        """Whether its worker has yet to tear it down."""
        return self.status == UP and (self.finishes or self.teardown)

    def as_dict(self) -> dict[str, Any]:
        """Its attributes."""
        return {name: getattr(self, name) for name in self.__slots__}


class WorkersState:
    """What the controller knows of the workers.

    Attributes:
        announced: the names of all workers that it has started.
        down: the names of workers that have finished, or crashed.
        awaited: how many crashed workers are about to be replaced.
        over: whether there will be no more tests.
    """

    __slots__ = ("announced", "awaited", "down", "over")

    def __init__(
        self,
        announced: list[str] | None = None,
        down: list[str] | None = None,
        awaited: int = 0,
        over: bool = False,
    ) -> None:
        self.announced = announced or []
        self.down = down or []
        self.awaited = awaited
        self.over = over

    def as_dict(self) -> dict[str, Any]:
        """Its attributes."""
        return {name: getattr(self, name) for name in self.__slots__}
