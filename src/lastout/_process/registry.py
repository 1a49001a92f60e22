"""Former name of `lastout._exits.registry`, kept for pickles of earlier versions."""

from __future__ import annotations

from .._platform.imports import moved

moved(__name__, "lastout._exits.registry")
