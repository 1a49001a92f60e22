"""A stack that a test can watch: its handlers leave their tokens in a log."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lastout._exits.exit_handler import ExitHandler
from lastout._exits.stack import HandlerStack
from lastout.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from lastout.report import Outcome

WAIT = 30  # seconds that no test should ever need


class Watched(HandlerStack):
    """A stack with a log; what its handlers raise is kept in `shown`."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[object] = []
        self.shown: list[tuple[BaseException, object]] = []

    def add(self, *tokens: object) -> None:
        for token in tokens:
            self.push((self.log.append, (token,), {}))

    def do(self, func: Callable[[], object], timeout: float | None = None) -> None:
        self.push(ExitHandler(func, timeout=timeout))

    def run(self, seconds: float | None = None) -> list[Outcome]:
        return self.unwind(Deadline(seconds), lambda *shown: self.shown.append(shown[:2]))


def in_thread(func: Callable[[], object]) -> threading.Thread:
    """Call `func` on a thread of its own."""
    thread = threading.Thread(target=func)
    thread.start()
    return thread
