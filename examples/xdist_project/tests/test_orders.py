"""Orders are kept in the database, and receipts in files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Table = Callable[..., object]


@pytest.mark.parametrize("number", range(20))
def test_an_order_is_kept(table: Table, number: int) -> None:
    """What was ordered can be looked up."""
    assert table("put", f"order {number}", "coffee") is True
    time.sleep(0.02)  # real tests take a while
    assert table("get", f"order {number}") == "coffee"


def test_orders_of_others_are_not_seen(table: Table) -> None:
    """A test sees what it ordered itself, and nothing else."""
    assert table("get", "order 1") is None


@pytest.mark.parametrize("number", range(10))
def test_a_receipt_is_printed(table: Table, receipts: Path, number: int) -> None:
    """A receipt says what was ordered."""
    table("put", "order", f"{number} cups")
    receipt = receipts / "receipt.txt"
    receipt.write_text(str(table("get", "order")))
    time.sleep(0.02)
    assert receipt.read_text() == f"{number} cups"
