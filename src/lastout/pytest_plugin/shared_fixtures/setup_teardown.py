"""Set-up and teardown: the function of a shared fixture, run in two parts.

set_up()       the function up to its `yield`, or to its `return`
tear_down()    the code after the `yield`

Tested by: tests/pytest_plugin/test_shared.py, tests/pytest_plugin/test_bad_input.py
"""

from __future__ import annotations

import inspect
import os

from ...errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class FixtureDefinition:
    """The definition of a shared fixture, which is the same in each worker.

    Attributes:
        func: the function.
        name: the name of the fixture.
        where: file and line.
        teardown: called with the value in the end; `None` if the function tears down itself.
    """

    def __init__(
        self, func: Callable[..., Any], name: str, teardown: Callable[..., object] | None
    ) -> None:
        code = inspect.unwrap(func).__code__
        self.func = func
        self.name = name
        self.where = f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"
        self.teardown = teardown

    def __str__(self) -> str:
        return f"the shared fixture {self.name!r} ({self.where})"


def source_place(func: Callable[..., Any]) -> str:
    """The place of a function in the source: file, line and qualified name."""
    func = inspect.unwrap(func)
    code = getattr(func, "__code__", None)  # which not every callable has
    where = f"{os.path.realpath(code.co_filename)}:{code.co_firstlineno}" if code else ""
    return f"{where}:{getattr(func, '__qualname__', type(func).__qualname__)}"


class SetupTeardown:
    """One run of the function of a shared fixture: set up once, torn down once."""

    def __init__(self, definition: FixtureDefinition) -> None:
        self._definition = definition
        self._rest: Iterator[Any] | None = None

    def set_up(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the function up to its value.

        Raises:
            UsageError: the function yields nothing.
            BaseException: the function raises it.
        """
        if not inspect.isgeneratorfunction(self._definition.func):
            return self._definition.func(*args, **kwargs)
        rest = self._definition.func(*args, **kwargs)
        try:
            value = next(rest)
        except StopIteration:
            raise UsageError(
                f"{self._definition} ended without a `yield`; it has to yield its value once"
            ) from None
        self._rest = rest
        return value

    @property
    def to_be_finished(self) -> bool:
        """Whether a function that was set up has code after its `yield`."""
        return self._rest is not None

    def tear_down(self) -> None:
        """Run the code after the `yield`, once.

        Raises:
            UsageError: the function yields a second time.
            BaseException: the function raises it.
        """
        rest, self._rest = self._rest, None
        if rest is None:
            return
        try:
            next(rest)
        except StopIteration:
            return
        rest.close()  # type: ignore[attr-defined]
        raise UsageError(
            f"{self._definition} yields more than once; what stands behind its second `yield`"
            " did not run"
        )
