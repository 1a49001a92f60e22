"""Scopes: processes record shared artifacts on disk, and the last member to leave cleans them.

Tested by: tests/shared/test_scope.py
"""

from .._platform import HAS_FORK

if not HAS_FORK:
    raise ImportError(
        "scopes need a POSIX system, such as Linux; on this one lastout has exit handlers only"
    )
