"""Storms over trees of processes that end in every way at once."""

from __future__ import annotations

import signal
from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support import Program

HANDLERS = 3

# Each process of the tree is drawn from the seed and its own place in the tree, so
# that a seed gives the same tree again; what the scheduler makes of it differs.
TREE = """
import multiprocessing, multiprocess, os, random, signal, sys
import lastout
from say import say

def live(place, depth, seed):
    draw = random.Random(f"{seed}/{place}")
    lastout.handle_signals()
    for number in range(HANDLERS):
        lastout.register(say, "ran", place, number)
    say("up", place)
    children = []
    for number in range(draw.randint(1, 3) if depth else 0):
        package = draw.choice([multiprocessing, multiprocess])
        context = package.get_context(draw.choice(["fork", "forkserver", "spawn"]))
        child = context.Process(target=live, args=(f"{place}.{number}", depth - 1, seed))
        child.start()
        children.append(child)
    for child in children:
        if draw.random() < 0.3:
            child.terminate()
    for child in children:
        child.join()
    how = draw.choice(["return", "exit", "raise", "unwind", "terminate", "hang up"])
    if how == "exit":
        sys.exit(3)
    if how == "raise":
        raise ValueError(place)
    if how == "unwind":
        lastout.unwind()
        os._exit(0)
    if how in ("terminate", "hang up"):
        os.kill(os.getpid(), signal.SIGTERM if how == "terminate" else signal.SIGHUP)
        signal.pause()

if __name__ == "__main__":
    live("root", 3, int(sys.argv[1]))
""".replace("HANDLERS", str(HANDLERS))


def wrong(lines: Iterable[str]) -> list[str]:
    """The places whose handlers did not run exactly once each, last in first out."""
    up = set()
    ran: defaultdict[str, list[int]] = defaultdict(list)
    for line in lines:
        word, place, *number = line.split()
        if word == "up":
            up.add(place)
        else:
            ran[place].append(int(number[0]))
    order = list(range(HANDLERS))[::-1]
    # One that was ended before it was up had not registered all of them yet.
    early = {place for place in ran if place not in up and ran[place] == sorted(ran[place])[::-1]}
    return sorted(
        f"{place}: {ran[place]}"
        for place in up | set(ran)
        if ran[place] != order and not (place in early and len(set(ran[place])) == len(ran[place]))
    )


def test_what_is_wrong_is_seen() -> None:
    """The judge of the storm sees a lost, a doubled and a misplaced handler."""
    right = ["up a", "ran a 2", "ran a 1", "ran a 0", "ran b 0"]
    assert wrong(right) == []
    assert wrong(right[:-2]) == ["a: [2, 1]"]
    assert wrong([*right, "ran a 0"]) == ["a: [2, 1, 0, 0]"]
    assert wrong(["up a", "ran a 1", "ran a 2", "ran a 0"]) == ["a: [1, 2, 0]"]


@pytest.mark.timeout(0)
def test_each_handler_of_a_storm_runs_once(
    program: Callable[..., Program], pytestconfig: pytest.Config
) -> None:
    """In trees of processes that end in every way at once, each handler runs exactly once."""
    seed: int = pytestconfig.getoption("seed")
    end = monotonic() + 60 * pytestconfig.getoption("minutes")
    processes = rounds = 0
    while not rounds or monotonic() < end:
        child = program(TREE, args=[str(seed + rounds)])
        ended = child.end(120)
        # Orphans of the ones that were terminated end soon after.
        done = eventually(lambda child=child: not wrong(child.lines), 30)  # type: ignore[misc]
        assert done, f"seed {seed + rounds}: {wrong(child.lines)}\n{ended.err}"
        assert ended.status in (0, 1, 3, -signal.SIGTERM, -signal.SIGHUP), ended
        processes += sum(line.startswith("up") for line in child.lines)
        rounds += 1
        child.close()
    print(f"{processes} processes in {rounds} trees, from seed {seed}")
