"""ExitHandler: an exit handler as a value.

Tested by: tests/process/test_handler.py, tests/process/test_stack.py
"""

from __future__ import annotations

from .._platform import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    # An entry of a stack: an ExitHandler, or the plain `(func, args, kwargs)` that `register`
    # pushes because a plain tuple is the fastest to make.
    Entry = tuple[Any, ...]


class ExitHandler(tuple):  # type: ignore[type-arg]
    """A callable with its arguments and its options, to run once at the end.

    A tuple that begins as the plain entries of `register` do: callable, arguments,
    keyword arguments.

    Attributes:
        timeout: seconds it may run before it is abandoned, or `None`.
        inherit: whether child processes get it too.
        before_threads: whether it runs before the interpreter joins threads.
    """

    __slots__ = ()

    def __new__(
        cls,
        func: Callable[..., object],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        inherit: bool = False,
        before_threads: bool = False,
    ) -> ExitHandler:
        entry = (func, args, kwargs or {}, timeout, inherit, before_threads)
        return tuple.__new__(cls, entry)

    @property
    def func(self) -> Callable[..., object]:
        return self[0]  # type: ignore[no-any-return]

    @property
    def args(self) -> tuple[Any, ...]:
        return self[1]  # type: ignore[no-any-return]

    @property
    def kwargs(self) -> Mapping[str, Any]:
        return self[2]  # type: ignore[no-any-return]

    @property
    def timeout(self) -> float | None:
        return self[3]  # type: ignore[no-any-return]

    @property
    def inherit(self) -> bool:
        return self[4]  # type: ignore[no-any-return]

    @property
    def before_threads(self) -> bool:
        return self[5]  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """`module.qualname` of the callable, the same in every process that runs the handler."""
        return name_of(self[0])

    @classmethod
    def of(cls, entry: Entry) -> ExitHandler:
        """The handler that a stack entry stands for."""
        return entry if isinstance(entry, ExitHandler) else cls(*entry)


def check_arguments(
    args: Iterable[Any], kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments given for a handler, as a tuple and a dictionary.

    Raises:
        TypeError: no function could be called with them.
    """
    if isinstance(args, (str, bytes)):
        raise TypeError(f"args must be a tuple of arguments, not {args!r}; write ({args!r},)")
    arguments, options = tuple(args), dict(kwargs or {})
    if not all(isinstance(name, str) for name in options):
        raise TypeError(f"kwargs must have strings as keys, not {options!r}")
    return arguments, options


def name_of(func: object) -> str:
    """`module.qualname` where `func` has them, else its `repr`; never raises."""
    try:
        module, qualname = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    except Exception:  # a report must not fail because a callable's attributes raise
        return safe_repr(func)
    if not isinstance(qualname, str):
        return safe_repr(func)
    if not isinstance(module, str):  # a bound method of a built-in type, such as `[].append`
        return qualname
    # A spawned child imports the main script under this other name.
    return f"{'__main__' if module == '__mp_main__' else module}.{qualname}"
