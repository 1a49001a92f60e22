"""Former name of `lastout._scopes.records.artifact`, kept for pickles of earlier versions.

Tested by: tests/shared/test_upgrades.py
"""

from __future__ import annotations

from .._platform.imports import moved

moved(__name__, "lastout._scopes.records.artifact")
