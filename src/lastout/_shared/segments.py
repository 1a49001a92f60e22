"""Moved to `lastout._scopes.kinds.untracked`, for what a former version left.

Tested by: tests/shared/test_upgrades.py
"""

from __future__ import annotations

from .._platform.imports import moved

moved(__name__, "lastout._scopes.kinds.untracked")
