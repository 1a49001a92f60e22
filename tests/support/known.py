"""What is known to fail on some Pythons and is not ours to mend: expected, and no surprise.

The marks are strict: when one of these passes, because somebody mended it, that is a failure
here, and its line goes.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest

from .program import ALL_LAZILY

if TYPE_CHECKING:
    from collections.abc import Iterable

# Those start a function of the main script by multiprocess, by spawn or forkserver.
OF_THE_MAIN_SCRIPT = {
    "tests/process/test_carrier.py": [
        "test_a_module_that_exits_when_imported_kills_no_child[METHOD-multiprocess]",
        "test_child_that_cannot_import_lastout_lives_on[METHOD-multiprocess]",
        "test_grandchild_gets_it_though_its_parent_has_no_lastout[METHOD-multiprocess]",
        "test_handler_whose_module_is_missing_in_the_child[METHOD-multiprocess]",
        "test_unpicklable_handler_is_inherited_by_fork[METHOD-multiprocess]",
        "test_unpicklable_handler_warns_and_kills_no_child[METHOD-multiprocess]",
    ],
    "tests/process/test_inheriting.py": [
        "test_child_can_unregister_what_it_inherited[METHOD-multiprocess]",
        "test_child_hands_on_what_it_registered_itself[METHOD-multiprocess]",
        "test_options_are_carried[METHOD-multiprocess]",
        "test_process_made_before_the_handler[METHOD-multiprocess]",
        "test_replaced_pool_workers_inherit[METHOD-multiprocess]",
        "test_started_before_the_handler[METHOD-multiprocess]",
    ],
    "tests/process/test_signals_pools.py": [
        "test_daemonic_child_at_the_parent_s_end[multiprocess-METHOD]",
    ],
    "tests/shared/test_joining.py": ["test_pickled_to_a_child[multiprocess-METHOD]"],
    "tests/shared/test_segments.py": ["test_children_leave_it_alone[METHOD-multiprocess]"],
}

# Since which Python, why, and which tests: patterns of their ids ("[" stands for itself).
KNOWN: list[tuple[tuple[int, int], str, list[str]]] = [
    (
        (3, 15),
        "multiprocess 0.70.19 pickles by dill 0.4.1, which asks code for its `co_lnotab`",
        [
            *(
                f"{file}::{test.replace('METHOD', method)}"
                for file, tests in OF_THE_MAIN_SCRIPT.items()
                for test in tests
                for method in ("spawn", "forkserver")
            ),
            # What a pool is given to do is pickled, also if its workers were forked.
            "tests/process/test_inheriting.py::test_replaced_pool_workers_inherit[fork-multiprocess]",
            "tests/process/test_signals_pools.py::test_pool_that_ends_its_workers[multiprocess-*]",
            "tests/process/test_carrier.py::test_two_reach_a_grandchild[multiprocess]",
            "tests/shared/test_callbacks.py::test_functions_of_the_main_script_are_called_*"
            "[a spawned child-multiprocess]",
        ],
    ),
]


# With all imports lazy loky 3.7.0 itself does not work, with lastout or without: it uses
# `multiprocessing.util` without importing it, and joblib's copy of it loses its workers at times.
WORKERS = ("loky", "joblib")
LOKY = ("tests/process/test_children.py::*", "tests/shared/test_joining.py::*")


def expect(items: Iterable[pytest.Item]) -> None:
    """Mark those that this Python is known to fail."""
    for since, reason, patterns in KNOWN:
        if sys.version_info >= since:
            for item in items:
                if any(fnmatchcase(item.nodeid, one.replace("[", "[[]")) for one in patterns):
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    for item in items if ALL_LAZILY else ():
        if any(fnmatchcase(item.nodeid, f"{one}{name}*") for one in LOKY for name in WORKERS):
            item.add_marker(pytest.mark.skip(reason="loky 3.7.0 does not work with lazy imports"))
