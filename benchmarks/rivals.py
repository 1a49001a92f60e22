"""Rivals that need not be installed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def rival(module: str) -> Any:
    """A module, or `None` where its package is not installed; loaded only where it is asked for."""
    package = module.partition(".")[0]
    return import_module(module) if find_spec(package) is not None else None
