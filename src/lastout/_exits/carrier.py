"""HandlerCarrier: brings inheritable handlers to children of another start method than fork.

    this process                                     the child
    current_process()._config["_lastout"] = HandlerCarrier
        | copied into each Process, pickled with it      unpickled: restore_handlers()
        +-- __reduce__: the handlers of that moment ==> register missing handlers
                                                        == HandlerCarrier, for grandchildren

`_config` is a dictionary that both packages copy to every child, in all their
versions, and that grandchildren get from their parent in turn.

A child that cannot unpickle its process object dies, so unpickling a carrier must
not fail: a child without lastout, or without the handler's module, goes on without
the handler, and shows the error.

For a package that is imported later, a finder on `sys.meta_path` notices the import;
it finds no module itself.  The finder is installed only while there are inheritable
handlers and one of the packages is not loaded.

Tested by: tests/process/test_carrier.py, tests/process/test_inheriting.py
"""

from __future__ import annotations

import sys

from .._platform import in_main_interpreter, show_unraisable
from .._platform.imports import load
from . import PACKAGES, registry
from .exit_handler import ExitHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    PickledHandler = list[bytes]  # one handler, pickled in one or two ways

_KEY = "_lastout"

# The handlers that this process received, with their pickles.  It passes the pickles on as
# well, because a descendant may be unable to import modules that this process can.
_arrived: list[tuple[ExitHandler, PickledHandler]] = []

# Each gives the calls that a child makes when it begins; asked at the start of each child.
carried: list[Callable[[], list[ExitHandler]]] = []

# Runs in a child that may have no lastout, or in which importing it fails.
_SOURCE = """
try:
    from lastout._exits.carrier import restore_handlers
except Exception:
    carrier = None
else:
    carrier = restore_handlers(package, parcels)
"""


class HandlerCarrier:
    """A value in the configuration of a `Process`; pickling it pickles the handlers."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __reduce__(self) -> tuple[Any, ...]:
        calls = [call for calls in carried for call in calls()]
        handlers = [*calls, *registry.inheritable()]
        parcels = [parcel for h in handlers if (parcel := _pack(h, self.package))]
        scope = {"package": self.package, "parcels": parcels}
        return eval, (
            "exec(source, scope) or scope['carrier']",
            {"source": _SOURCE, "scope": scope},
        )


def install() -> None:
    """Put a carrier into each loaded package, and watch for the import of the rest."""
    if not in_main_interpreter():
        return
    for package in PACKAGES:
        _install_in(package)
    if all(f"{package}.process" in sys.modules for package in PACKAGES):
        _stop_watching()
    elif _passer_by not in sys.meta_path:
        sys.meta_path.insert(0, _passer_by)


def _install_in(package: str) -> None:
    process: Any = sys.modules.get(f"{package}.process")
    if not hasattr(process, "current_process"):  # not loaded, or not yet complete
        return
    carrier = HandlerCarrier(package)
    processes = [process.current_process()]
    # A `Process` that is made but not started has copied the configuration already.
    processes += [p for p in list(process._dangling) if getattr(p, "_popen", None) is None]
    for each in processes:
        if each._config.get(_KEY) is None:
            each._config[_KEY] = carrier


class _ImportObserver:
    """A finder that notices the import of a package and finds nothing, so the import goes on."""

    # A package's `context` module imports `reduction` once its `process` module, where the
    # carrier goes, is complete.
    _signs = frozenset(f"{package}.reduction" for package in PACKAGES)

    def find_spec(self, name: str, *_: object) -> None:
        if name in self._signs:
            try:
                install()
            except Exception as error:  # the program's import must not fail because of lastout
                show_unraisable(error, install)


_passer_by = _ImportObserver()


def _stop_watching() -> None:
    if _passer_by in sys.meta_path:
        sys.meta_path.remove(_passer_by)


def _pack(handler: ExitHandler, package: str) -> PickledHandler | None:
    """The handler pickled in each way that works; `None`, and a warning, if neither does.

    A function of the main script is pickled by reference and, because not every child
    has that script (loky's children have not), by value too.  A handler that the package
    cannot pickle goes by value.  By value, a function takes its globals with it.
    """
    of_main = handler.name.startswith("__main__.")
    parcel: PickledHandler = []
    failure: Exception | None = None
    # multiprocess pickles with dill, which would pickle the main script's functions by value.
    first = "multiprocessing" if of_main else package
    try:
        parcel.append(_by_package(tuple(handler), first))
    except Exception as error:
        failure = error
    if failure or of_main:
        try:
            load("lastout._exits.by_value", needs_logging=True)  # late: importing dill takes long
            from . import by_value

            parcel.append(by_value.dumps(tuple(handler)))
        except Exception as error:
            failure = error  # the more telling error, because this was the last way
    for arrived, ways in _arrived:
        if arrived is handler:
            parcel += [way for way in ways if way not in parcel]
    if not parcel:
        import warnings

        warnings.warn(
            f"exit handler {handler.name} is to be inherited but cannot be pickled "
            f"({failure!r}): processes started by spawn or forkserver go without it; "
            "define it at the top of a module, with arguments that can be pickled",
            RuntimeWarning,
            stacklevel=2,
        )
    return parcel or None


def _by_package(value: object, package: str) -> bytes:
    from importlib import import_module

    return bytes(import_module(f"{package}.reduction").ForkingPickler.dumps(value))


def restore_handlers(package: str, parcels: list[PickledHandler]) -> HandlerCarrier:
    """In the child, register the received handlers that it does not have yet.

    A child has a handler already if it has imported the module that registers it by
    decoration, or if it was forked from a process that had it.
    """
    came = [(h, parcel) for parcel in parcels if (h := _unpack(parcel)) is not None]
    for call in [handler for handler, _ in came if not handler.inherit]:
        _call(call)
    came = [(h, parcel) for h, parcel in came if h.inherit]
    here = registry.inheritable()
    for exactly in (True, False):
        for handler, parcel in list(came):
            same_handler = next((h for h in here if _same(h, handler, exactly)), None)
            if same_handler is not None:
                here.remove(same_handler)
                came = [pair for pair in came if pair[0] is not handler]
                _arrived.append((same_handler, parcel))
    for handler, parcel in came:
        _arrived.append((handler, parcel))
        try:
            registry.add(handler)
        except Exception as error:  # on 3.12 no thread could be reserved for its time limit
            show_unraisable(error, restore_handlers)
    return HandlerCarrier(package)


def _call(handler: ExitHandler) -> None:
    """Make a call that is no exit handler, but that the parent wants made at the child's start."""
    try:
        handler.func(*handler.args, **handler.kwargs)
    except Exception as error:
        show_unraisable(error, restore_handlers)


def _unpack(parcel: PickledHandler) -> ExitHandler | None:
    import pickle

    failure: BaseException | None = None
    for way in parcel:
        try:
            return ExitHandler(*pickle.loads(way))
        except (Exception, SystemExit) as error:  # an imported module may call `sys.exit`
            failure = failure or error
    show_unraisable(failure or ValueError("an empty parcel"), restore_handlers)
    return None


def _same(one: ExitHandler, other: ExitHandler, exactly: bool) -> bool:
    if one.name != other.name:
        return False
    try:
        return not exactly or bool(one.args == other.args and one.kwargs == other.kwargs)
    except Exception:  # comparing the arguments raised
        return False


# The old name, which pickles of earlier versions contain.
arrive = restore_handlers
