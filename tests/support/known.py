"""What is known to fail on some Pythons and is not ours to mend: expected, and no surprise.

The marks are strict: when one of these passes, because somebody mended it, that is a failure
here, and its line goes.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

# Since which Python, why, and which tests: patterns of their ids ("[" stands for itself).
KNOWN: list[tuple[tuple[int, int], str, list[str]]] = [
    (
        (3, 15),
        "multiprocess 0.70.19 pickles by dill 0.4.1, which asks code for its `co_lnotab`",
        [
            "tests/shared/test_callbacks.py::"
            "test_functions_of_the_main_script_are_called_after_its_end[a spawned child-multiprocess]",
        ],
    ),
]


def expect(items: Iterable[pytest.Item]) -> None:
    """Mark those that this Python is known to fail."""
    for since, reason, patterns in KNOWN:
        if sys.version_info >= since:
            for item in items:
                if any(fnmatchcase(item.nodeid, one.replace("[", "[[]")) for one in patterns):
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
