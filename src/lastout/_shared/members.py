"""Former name of `lastout._scopes.records.members`, kept for pickles of earlier versions."""

from __future__ import annotations

from .._platform.imports import moved

moved(__name__, "lastout._scopes.records.members")
