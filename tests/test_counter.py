"""Counter: numbers that several threads take, with and without a GIL."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lastout._platform import counter


@pytest.mark.parametrize("gil", [True, False])
def test_each_number_is_given_once(gil: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that count at the same time get all numbers from 1 on, each of them once."""
    if gil and not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("this Python has no GIL now")
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: gil, raising=False)
    following = counter()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(lambda: [following() for _ in range(5000)]) for _ in range(4)]
        given = [number for job in jobs for number in job.result()]
    assert sorted(given) == list(range(1, 20_001))
