"""Carrier: brings inheritable handlers to children that are not forked from us.

    this process                                     the child
    current_process()._config["_lastout"] = HandlerCarrier
        | copied into each Process, pickled with it      unpickled: restore_handlers()
        +-- __reduce__: the handlers of that moment ==> register those not there yet
                                                        == HandlerCarrier, for grandchildren

`_config` is a dictionary that both packages copy to every child, in all their
versions, and that grandchildren get from their parent in turn.

A child that cannot unpickle its process object dies, so nothing here may fail
on arrival: a child without lastout, or without the handler's module, goes on
without the handler, and says so.

A package that is imported later is met by a finder on `sys.meta_path` which
finds nothing: it only sees the import pass by.  It is there only while there
are inheritable handlers and a package that is not loaded.
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

# What came to this process, and how it was packed: it is passed on like that as
# well, for a descendant that cannot import what this process can.
_arrived: list[tuple[ExitHandler, PickledHandler]] = []

# What else children have to call when they begin: asked each time one is started.
carried: list[Callable[[], list[ExitHandler]]] = []

# Runs in a child that may have no lastout, or one that fails to import.
_SOURCE = """
try:
    from lastout._exits.carrier import restore_handlers
except Exception:
    carrier = None
else:
    carrier = restore_handlers(package, parcels)
"""


class HandlerCarrier:
    """Stands in a process's configuration; pickling it packs the handlers."""

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
    """Put a carrier into each loaded package, and watch for the import of the other."""
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
    # Those that are made but not started have their own copy already.
    processes += [p for p in list(process._dangling) if getattr(p, "_popen", None) is None]
    for each in processes:
        if each._config.get(_KEY) is None:
            each._config[_KEY] = carrier


class _ImportObserver:
    """Sees a package being imported; finds nothing, so the import goes on as ever."""

    # Looked up by a package's `context` module once its `process` module, where
    # the carrier goes, is complete.
    _signs = frozenset(f"{package}.reduction" for package in PACKAGES)

    def find_spec(self, name: str, *_: object) -> None:
        if name in self._signs:
            try:
                install()
            except Exception as error:  # an import must not fail over this
                show_unraisable(error, install)


_passer_by = _ImportObserver()


def _stop_watching() -> None:
    if _passer_by in sys.meta_path:
        sys.meta_path.remove(_passer_by)


def _pack(handler: ExitHandler, package: str) -> PickledHandler | None:
    """The handler pickled in each way that works; None, and a warning, if none does.

    What belongs to the main script goes by reference and, because not every
    child has that script (loky's have not), by value too; so does what the
    package cannot pickle.  By value, a function takes its globals with it.
    """
    of_main = handler.name.startswith("__main__.")
    parcel: PickledHandler = []
    failure: Exception | None = None
    # dill, which is the pickler of multiprocess, would take the main script's
    # functions by value at once.
    first = "multiprocessing" if of_main else package
    try:
        parcel.append(_by_package(tuple(handler), first))
    except Exception as error:
        failure = error
    if failure or of_main:
        try:
            load("lastout._exits.by_value", needs_logging=True)  # dill: it takes long to import
            from . import by_value

            parcel.append(by_value.dumps(tuple(handler)))
        except Exception as error:
            failure = error  # it says more: this was the last way
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
    """In the child: register the handlers that came, but for those that are here already.

    A handler is here already when the child has imported the module that
    registers it by decoration, or when it was forked from a process that had it.
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
        except Exception as error:  # on 3.12 no thread could be had for its time limit
            show_unraisable(error, restore_handlers)
    return HandlerCarrier(package)


def _call(handler: ExitHandler) -> None:
    """It is no exit handler: the parent has it called as soon as the child begins."""
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
        except (Exception, SystemExit) as error:  # a module may call `sys.exit` when imported
            failure = failure or error
    show_unraisable(failure or ValueError("an empty parcel"), restore_handlers)
    return None


def _same(one: ExitHandler, other: ExitHandler, exactly: bool) -> bool:
    if one.name != other.name:
        return False
    try:
        return not exactly or bool(one.args == other.args and one.kwargs == other.kwargs)
    except Exception:  # arguments that cannot be compared
        return False


# What was pickled by a former version names it so.
arrive = restore_handlers
