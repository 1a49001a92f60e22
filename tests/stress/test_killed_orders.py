"""A parent, each of its workers and the guardian, killed in every order and subset of the four."""

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

PARTS = ("parent", "first", "second", "guardian")
ORDERS = [order for number in range(5) for order in permutations(PARTS, number)]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_killed(order: tuple[str, ...], program: Callable[..., Program]) -> None:
    """After at most one reap nothing is left, whoever was killed and in which order."""
    tree = Tree(program)
    tree.kill(order)
    tree.finish()
    report = lastout.reap() if "guardian" in order else None
    # A worker that the pool was just starting goes a little later.
    assert eventually(lambda: not tree.left(), 20), (tree.left(), report)
