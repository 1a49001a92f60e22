"""All orders of all steps of the protocol: the one that is built is right, others are not.

Each variant below is the protocol with one thing done in the obvious way instead.
That spin finds an error in each of them shows that it would find it in ours, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.spin import read, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(0)  # `run` has its own limit

# What there can be beside two members, of which one or both were not forked.
MORE = ("REFUSALS=1", "KEEPS=1", "LOCK_ONLY", "DAEMONS", "GUARDIAN", "KILLS=2", "WAITS")
AS_BUILT = [
    f"-DROOTS={roots} {more}".strip()
    for more in ("", *(f"-D{one}" for one in MORE))
    for roots in (1, 2)
] + ["-DROOTS=1 -DGUARDIAN -DKILLS=2 -DLOOKS=0", "-DROOTS=2 -DGUARDIAN -DKILLS=2 -DLOOKS=0"]

# With three, there are too many states for everything at once.
THREE = [
    f"-DN=3 -DROOTS={roots} -DLOOKS={looks} -DKILLS={kills}"
    for looks, kills in ((0, 0), (0, 1), (1, 0))
    for roots in (1, 2, 3)
] + [f"-DN=3 -DROOTS={roots} -DGUARDIAN -DLOOKS=0 -DKILLS=0" for roots in (1, 2, 3)]

# Variant, where it shows, and a word of the assertion that it violates.
LOST, RELIED, TWICE, TOGETHER, SWEPT, UNSEEN, END, KEPT, BOTH = (
    "says_made", "home[", "ran[", "cleaner[", "lies[me]==entered", "forking", "there[", "!(spared[",
    "hand[",
)  # fmt: skip
VARIANTS = {
    "MAKE_FIRST": ("", LOST),
    "DONE_FIRST": ("", LOST),
    "JOIN_UNHELD": ("", LOST),
    "NO_SECOND_LOOK": ("", SWEPT),
    "SWEEP_UNHELD": ("", TOGETHER),
    "SWEEP_IN_PLACE": ("", SWEPT),
    "UNLOCK_FIRST": ("-DLOCK_ONLY", SWEPT),
    "SEEN_BEFORE_LOCKED": ("-DROOTS=1", RELIED),
    "ONE_LISTING": ("-DROOTS=1", LOST),
    "CHILD_JOINS": ("-DROOTS=1", RELIED),
    "CHILD_UNLOCKS": ("-DROOTS=1 -DLOCK_ONLY", TWICE),
    "CHILD_KEEPS": ("-DROOTS=1", UNSEEN),
    "PARENT_KEEPS": ("-DROOTS=1", UNSEEN),
    "RELEASE_UNCLAIMED": ("", TWICE),
    "OWN_UNCLAIMED": ("", TWICE),
    "KEPT_UNREAD": ("-DKEEPS=1", KEPT),
    "KEEP_UNHELD": ("-DKEEPS=1", KEPT),
    "KEEP_MISPLACED": ("-DKEEPS=1", KEPT),
    "DEAD_BY_LOCK": ("-DDAEMONS", SWEPT),
    "DEAD_BY_PID": ("-DROOTS=1", END),
    "NO_TURN": ("-DWAITS", TOGETHER),
    "JOIN_BUSY": ("-DWAITS", RELIED),
    "RELEASE_BUSY": ("-DWAITS", BOTH),
    "KEEP_BUSY": ("-DWAITS -DKEEPS=1", KEPT),
    "DECIDED_ONCE": ("-DWAITS -DGUARDIAN", END),
    "GUARD_UNHELD": ("-DGUARDIAN", TOGETHER),
    "GUARD_FORGETS": ("-DGUARDIAN -DKILLS=2 -DLOOKS=0", END),
}


@pytest.mark.parametrize("flags", AS_BUILT)
def test_as_built(flags: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """With two members nothing that must hold breaks, in whatever order things happen."""
    if pytestconfig.getoption("quick") and flags not in AS_BUILT[:2]:
        pytest.skip("takes minutes with all the others: not with --quick")
    found = run(tmp_path, f"-DN=2 {flags}", pytestconfig.getoption("megabytes"))
    print(f"{flags}: {found.states} states in {found.seconds} s")
    assert (found.error, found.complete) == ("", True)
    assert found.states > 100_000, "so few: some of its steps cannot be taken any more"


@pytest.mark.parametrize("flags", THREE)
def test_three_members(flags: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """With three members nothing breaks either, as far as memory and time reach."""
    if pytestconfig.getoption("members") < 3:
        pytest.skip("takes many minutes: --members 3")
    limits = [pytestconfig.getoption(one) for one in ("megabytes", "limit")]
    found = run(tmp_path, flags, *limits)
    print(f"{flags}: {found.states} states in {found.seconds} s, all: {found.complete}")
    assert found.error == ""


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant(variant: str, tmp_path: Path) -> None:
    """Each variant of the protocol breaks what it is said to break."""
    flags, violated = VARIANTS[variant]
    found = run(tmp_path, f"-DN=2 {flags} -D{variant}", optimize="-O0")  # gcc takes longest
    print(f"{variant}: {found.error}, after {found.states} states")
    assert found.error.startswith("assertion violated"), found
    assert violated in found.error


def test_a_run_is_understood() -> None:
    """An error and a run that was cut short are told from one that found all well."""
    fine = "  12 states, stored\nState-vector 3, errors: 0\npan: elapsed time 0.5 seconds\n"
    assert read(fine) == (12, 0.5, True, "")
    assert not read("Warning: Search not completed\n" + fine).complete  # memory or time
    bad = "pan:1: assertion violated (a==b) (at depth 7)\n" + fine.replace("s: 0", "s: 1")
    assert read(bad).error == "assertion violated (a==b)"
