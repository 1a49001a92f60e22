"""The quick run, which README.md gives, and the whole one, by `--all`.

What takes long and says much the same again and again is marked as thorough:

    @pytest.mark.thorough(one_in=4)  # of its cases the quick run takes every fourth one
    @pytest.mark.thorough            # the quick run leaves it out

Each Python takes other cases, so that all Pythons together see more.  Who names a file, or a
test, gets all that is in it.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MARK = "thorough(one_in): the quick run takes one of so many cases, or none; --all takes each"


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take what the quick run leaves out from `items`, unless all were asked for."""
    if config.getoption("--all"):
        return
    named = _named_files(config)
    cases: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.path not in named:
            cases[item.nodeid.partition("[")[0]].append(item)
    left_out = {item for same in cases.values() for item in same if not _is_quick(item, same)}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))


def _named_files(config: pytest.Config) -> set[Path]:
    paths = [argument.partition("::")[0] for argument in config.args]
    return {config.invocation_params.dir / path for path in paths if path.endswith(".py")}


def _is_quick(item: pytest.Item, same: list[pytest.Item]) -> bool:
    mark = item.get_closest_marker("thorough")
    if mark is None:
        return True
    step = mark.kwargs.get("one_in")
    return step is not None and takes(same.index(item), len(same), step, sys.version_info.minor)


def takes(place: int, cases: int, one_in: int, minor: int) -> bool:
    """Whether the quick run of Python 3.`minor` takes the case at this place; each takes some."""
    step = min(one_in, cases)
    return place % step == minor % step


def spread(config: pytest.Config) -> None:
    """Use all processors, by pytest-xdist, unless it is said otherwise or few tests are wanted.

    `-n0`, `-s`, `--pdb` or the name of a file keep all in one process: that can be looked into.
    """
    option = config.option
    is_worker = hasattr(config, "workerinput")  # which must not have workers again
    # Without pytest-xdist there is no such option; else it is None where -n was not given.
    if is_worker or getattr(option, "numprocesses", 0) is not None:
        return
    if option.usepdb or option.trace or option.capture == "no" or option.collectonly:
        return
    if not _named_files(config):
        option.numprocesses = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
        option.dist = "worksteal"
