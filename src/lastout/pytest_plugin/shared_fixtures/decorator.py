"""shared_fixture: the decorator for users of shared fixtures.

Tested by: tests/pytest_plugin/test_shared.py, tests/pytest_plugin/test_bad_input.py
"""

from __future__ import annotations

import functools
import inspect

import pytest

from ...errors import UsageError
from .setup_teardown import FixtureDefinition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, TypeVar, overload

    F = TypeVar("F", bound=Callable[..., Any])
    Ids = Sequence[object | None] | Callable[[Any], object | None] | None


if TYPE_CHECKING:

    @overload
    def shared_fixture(func: F, /) -> F: ...
    @overload
    def shared_fixture(
        *,
        teardown: Callable[..., object] | None = None,
        params: Iterable[object] | None = None,
        autouse: bool = False,
        ids: Ids = None,
        name: str | None = None,
    ) -> Callable[[F], F]: ...


def shared_fixture(
    func: Callable[..., Any] | None = None,
    /,
    *,
    teardown: Callable[..., object] | None = None,
    params: Iterable[object] | None = None,
    autouse: bool = False,
    ids: Ids = None,
    name: str | None = None,
) -> Any:
    """Declare a fixture that all workers of a pytest-xdist run share.

    The first worker that needs the fixture sets it up, while other workers wait; each
    gets a copy of its value.  It is torn down once, when no worker has tests left to
    run, in reverse order of set-up over all workers.  If its set-up fails, it fails in
    all workers with that error.  Without pytest-xdist it is a session fixture like any
    other::

        @shared_fixture
        def database(tmp_path_factory):
            server = start_server(tmp_path_factory.mktemp("data"))
            yield server.address  # picklable: it goes to the other workers
            server.stop()         # in the worker that started it

    The code after the `yield` does not run if that worker is killed by SIGKILL.
    Artifacts that the function makes in `lastout_run`, and the value of a fixture with
    `teardown=`, are cleaned all the same, by the last process of the run::

        @shared_fixture
        def database(lastout_run):
            lastout_run.popen(["server", "--socket", "/tmp/s"])
            return "/tmp/s"

    Args:
        func: the function, where it is decorated without options.
        teardown: called with the value in the end, by the worker that set it up, or by
            the process that cleans up after that worker.  The function must then return.
        params: as for `pytest.fixture`; each is set up on its own, and kept to the end.
        autouse: as for `pytest.fixture`.
        ids: as for `pytest.fixture`.
        name: as for `pytest.fixture`.

    Raises:
        UsageError: the function is a coroutine, or yields although there is a `teardown`.
        TypeError: the decorated object is not callable.
    """

    def decorate(func: Callable[..., Any]) -> Any:
        _check(func, teardown)
        definition = FixtureDefinition(func, name or func.__name__, teardown)
        declare = pytest.fixture(
            scope="session",
            params=params,
            autouse=autouse,
            ids=ids,
            name=name,
        )
        return declare(_provider(definition))

    return decorate if func is None else decorate(func)


def _check(func: Callable[..., Any], teardown: Callable[..., object] | None) -> None:
    if not inspect.isfunction(func):
        raise TypeError(
            f"shared_fixture decorates a function, not {func!r}; put it in the place of"
            " pytest.fixture, not on top of it"
        )
    if teardown is not None and not callable(teardown):
        raise TypeError(f"teardown must be callable, not {teardown!r}")
    if inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
        raise UsageError(
            f"the shared fixture {func.__name__!r} is a coroutine, which belongs to one event loop"
            " of one process; share what is needed to connect, and connect in another fixture"
        )
    if teardown is not None and inspect.isgeneratorfunction(func):
        raise UsageError(
            f"the shared fixture {func.__name__!r} yields, and has a `teardown` too; keep one of"
            " them: return the value, or tear down behind the `yield`"
        )


def _provider(definition: FixtureDefinition) -> Callable[..., Iterator[Any]]:
    """The fixture function for pytest, which asks for `request` besides."""
    func = definition.func
    signature = inspect.signature(func)
    asks = "request" in signature.parameters

    @functools.wraps(func)
    def provide(*args: Any, **kwargs: Any) -> Iterator[Any]:
        from .runs import run_of_session

        request = kwargs["request"] if asks else kwargs.pop("request")
        yield from run_of_session(request).provide(definition, args, kwargs)

    if not asks:
        wanted = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY)
        parameters = [*signature.parameters.values(), wanted]
        signature = signature.replace(parameters=parameters)
    provide.__signature__ = signature  # type: ignore[attr-defined]
    return provide
