"""ExitHandler: an exit handler as a value, and what it is called in a report."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from lastout._exits.exit_handler import ExitHandler, name_of

if TYPE_CHECKING:
    from collections.abc import Callable


def close() -> None:
    """A function to name."""


class Odd:
    """Callable objects of all sorts."""

    def method(self) -> None: ...

    def __call__(self) -> None: ...

    def __repr__(self) -> str:
        return "<odd>"


class Unprintable:
    def __call__(self) -> None: ...

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Unaskable:
    """Whatever one asks of it, it raises."""

    def __call__(self) -> None: ...

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        return "<unaskable>"


def test_defaults() -> None:
    """A handler of a bare callable has no arguments, no limit, and is not inherited."""
    handler = ExitHandler(close)
    assert handler.func is close
    assert (handler.args, handler.kwargs) == ((), {})
    assert handler.timeout is None
    assert handler.inherit is False


def test_keeps_what_it_is_given() -> None:
    """Each option comes back as it was given."""
    handler = ExitHandler(close, (1, 2), {"key": "value"}, 2.5, True)
    assert (handler.args, handler.kwargs) == ((1, 2), {"key": "value"})
    assert (handler.timeout, handler.inherit) == (2.5, True)


def test_of_a_plain_entry() -> None:
    """The plain entry that register pushes stands for a handler without options."""
    handler = ExitHandler.of((close, (1,), {"a": 2}))
    assert type(handler) is ExitHandler
    assert (handler.func, handler.args, handler.kwargs) == (close, (1,), {"a": 2})
    assert (handler.timeout, handler.inherit) == (None, False)


def test_of_a_handler_is_itself() -> None:
    """A handler stands for itself."""
    handler = ExitHandler(close, timeout=1)
    assert ExitHandler.of(handler) is handler


def test_begins_as_a_plain_entry_does() -> None:
    """The stack may read callable, arguments and keywords of both kinds in one way."""
    func, args, kwargs = ExitHandler(close, (1,), {"a": 2}, 3.0, True)[:3]
    assert (func, args, kwargs) == (close, (1,), {"a": 2})


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (close, f"{__name__}.close"),
        (Odd, f"{__name__}.Odd"),
        (Odd().method, f"{__name__}.Odd.method"),
        (print, "builtins.print"),
        ([].append, "list.append"),
        (Odd(), "<odd>"),
        (Unaskable(), "<unaskable>"),
    ],
    ids=["function", "class", "method", "builtin", "bound builtin", "object", "unaskable"],
)
def test_a_report_names_a_handler_by_its_qualname_or_repr(
    func: Callable[..., object], name: str
) -> None:
    """A report says module.qualname where there is one, and the repr where not."""
    assert name_of(func) == name
    assert ExitHandler(func).name == name


def test_name_of_a_partial_says_what_it_calls() -> None:
    """A partial has no name of its own; its repr holds the function's."""
    assert "close" in name_of(functools.partial(close))


def test_name_never_fails() -> None:
    """A callable whose repr raises still has a name, because a report must not fail."""
    assert "Unprintable" in name_of(Unprintable())


def test_name_is_the_same_in_a_spawned_child() -> None:
    """The main script is called __main__ in the children that import it as __mp_main__ too."""

    def func() -> None: ...

    func.__module__, func.__qualname__ = "__mp_main__", "work"
    assert name_of(func) == "__main__.work"
