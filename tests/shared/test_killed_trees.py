"""A parent, its workers and the guardian, killed in every order and subset: nothing is left."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

import lastout
from support import eventually
from support.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

PARTS = {"parent": ["parent"], "workers": ["first", "second"], "guardian": ["guardian"]}
ORDERS = [order for number in range(4) for order in permutations(PARTS, number)]


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_a_killed_tree_leaves_nothing_after_one_reap(
    order: tuple[str, ...], program: Callable[..., Program]
) -> None:
    """After at most one reap no process, directory, socket or shared memory is left.

    With a living guardian not even that is needed; who is not killed ends as usual.
    """
    tree = Tree(program)
    tree.kill(name for part in order for name in PARTS[part])
    tree.finish()
    if "guardian" in order:
        report = lastout.reap()
        # The pool may have been about to put a worker in the place of a killed one: that
        # one learns when it joins that it is an orphan, and goes after this reap.
        seconds = 10 if "workers" in order else 0
        assert eventually(lambda: not tree.left(), seconds), (report, tree.left(), tree.pids)
    else:
        assert eventually(lambda: not tree.left(), 20), tree.left()
