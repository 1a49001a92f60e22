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

NO_DILL = "dill 0.4.1 cannot pickle functions on Python 3.15, which has no `co_lnotab`"

# Since which Python, why, and which tests: patterns of their ids ("[" stands for itself).
KNOWN: list[tuple[tuple[int, int], str, list[str]]] = [
    (
        (3, 15),
        NO_DILL,
        [
            "tests/shared/test_callbacks.py::test_made_here_it_is_called_here",
            "tests/shared/test_callbacks.py::test_one_that_raises_is_an_error_with_its_cause",
            "tests/shared/test_callbacks.py::test_one_that_hangs_here_is_abandoned",
            "tests/shared/test_callbacks.py::test_arguments_that_json_would_change_are_pickled[*",
            "tests/shared/test_callbacks.py::test_closures_lambdas_and_objects_are_pickled",
            "tests/shared/test_callbacks.py::test_a_module_made_at_run_time_is_pickled",
            "tests/shared/test_callbacks.py::test_one_that_is_killed_elsewhere_is_an_error",
            "tests/shared/test_callbacks.py::test_functions_of_the_main_script_are_called_after_its_end[*",
            "tests/shared/test_callbacks.py::test_forgotten_calls_are_not_held",
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
