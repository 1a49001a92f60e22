"""Carrier: brings inheritable handlers to children that are not forked from us.

    this process                                     the child
    current_process()._config["_lastout"] = Carrier  ...
        | copied into each Process, pickled with it      unpickled: arrive()
        +-- __reduce__: the handlers of that moment ==> register those not there yet
                                                        == Carrier, for grandchildren

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
from . import PACKAGES, registry
from .handler import Handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEY = "_lastout"

# Runs in a child that may have no lastout, or one that fails to import.
_SOURCE = """
try:
    from lastout._process.carrier import arrive
except Exception:
    carrier = None
else:
    carrier = arrive(package, parcels)
"""


class Carrier:
    """Stands in a process's configuration; pickling it packs the handlers."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __reduce__(self) -> tuple[Any, ...]:
        parcels = [parcel for h in registry.inheritable() if (parcel := _pack(h, self.package))]
        scope = {"package": self.package, "parcels": parcels}
        return eval, (
            "exec(source, scope) or scope['carrier']",
            {"source": _SOURCE, "scope": scope},
        )


def plant() -> None:
    """Put a carrier into each loaded package, and watch for the import of the other."""
    if not in_main_interpreter():
        return
    for package in PACKAGES:
        _plant_in(package)
    if all(f"{package}.process" in sys.modules for package in PACKAGES):
        _stop_watching()
    elif _passer_by not in sys.meta_path:
        sys.meta_path.insert(0, _passer_by)


def _plant_in(package: str) -> None:
    process: Any = sys.modules.get(f"{package}.process")
    if not hasattr(process, "current_process"):  # not loaded, or not yet complete
        return
    carrier = Carrier(package)
    processes = [process.current_process()]
    # Those that are made but not started have their own copy already.
    processes += [p for p in list(process._dangling) if getattr(p, "_popen", None) is None]
    for each in processes:
        if each._config.get(_KEY) is None:
            each._config[_KEY] = carrier


class _PasserBy:
    """Sees a package being imported; finds nothing, so the import goes on as ever."""

    # Looked up by a package's `context` module once its `process` module, where
    # the carrier goes, is complete.
    _signs = frozenset(f"{package}.reduction" for package in PACKAGES)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self._signs:
            try:
                plant()
            except Exception as error:  # an import must not fail over this
                show_unraisable(error, plant)


_passer_by = _PasserBy()


def _stop_watching() -> None:
    if _passer_by in sys.meta_path:
        sys.meta_path.remove(_passer_by)


def _pack(handler: Handler, package: str) -> bytes | None:
    """The handler pickled as `package` does, else by dill; None, and a warning, if neither can."""
    try:
        return _dumps(tuple(handler), package)
    except Exception as first:
        try:
            return _dumps(tuple(handler), "multiprocess")
        except Exception:
            import warnings

            warnings.warn(
                f"exit handler {handler.name} is to be inherited but cannot be pickled "
                f"({first!r}): processes started by spawn or forkserver go without it; "
                "define it at the top of a module, with arguments that can be pickled",
                RuntimeWarning,
                stacklevel=2,
            )
            return None


def _dumps(value: object, package: str) -> bytes:
    from importlib import import_module

    pickler = import_module(f"{package}.reduction").ForkingPickler
    return bytes(pickler.dumps(value))


def arrive(package: str, parcels: list[bytes]) -> Carrier:
    """In the child: register the handlers that came, but for those that are here already.

    A handler is here already when the child has imported the module that
    registers it by decoration, or when it was forked from a process that had it.
    """
    arrived = [handler for handler in map(_unpack, parcels) if handler is not None]
    here = registry.inheritable()
    for exactly in (True, False):
        for handler in list(arrived):
            twin = next((h for h in here if _same(h, handler, exactly)), None)
            if twin is not None:
                here.remove(twin)
                arrived = [a for a in arrived if a is not handler]
    for handler in arrived:
        registry.add(handler)
    return Carrier(package)


def _unpack(parcel: bytes) -> Handler | None:
    import pickle

    try:
        return Handler(*pickle.loads(parcel))
    except Exception as error:
        show_unraisable(error, arrive)
        return None


def _same(one: Handler, other: Handler, exactly: bool) -> bool:
    if one.name != other.name:
        return False
    try:
        return not exactly or bool(one.args == other.args and one.kwargs == other.kwargs)
    except Exception:  # arguments that cannot be compared
        return False
