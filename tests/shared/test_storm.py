"""A short storm; `nox -s stress` has the long ones.  And the judge of all storms."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import eventually
from support.leaks import MARK
from support.storm import Storm
from support.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


@pytest.mark.thorough(one_in=2)
@pytest.mark.parametrize("seed", [1, 4])  # with a guardian, and without
def test_a_short_storm(program: Callable[..., Program], tmp_path: Path, seed: int) -> None:
    """However the processes of a scope are killed, all is cleaned once, in order, by the last."""
    storm = Storm(program, tmp_path / "area", seed, trees=3, depth=2)
    storm.blow(8.0)
    verdict = storm.end()
    assert verdict.wrong == []
    assert verdict.pids
    assert storm.sent


HALF_DEAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_others_that_seem_to_be_ending(program: Callable[..., Program], tmp_path: Path) -> None:
    """A process of somebody else whose first thread has ended, and the others not, is no member."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    command = [sys.executable, "-c", HALF_DEAD]
    with subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.PIPE) as others:
        assert others.stdout is not None
        assert others.stdout.readline() == b"ready\n"
        stat = Path(f"/proc/{others.pid}/stat")
        assert eventually(lambda: stat.read_text().rpartition(") ")[2].startswith("Z"))
        try:
            storm = Storm(program, tmp_path / "area", 1, trees=1, depth=0)
            assert storm.end().wrong == []
        finally:
            others.kill()


UP = ["up a 1", "up b 2", "making x 1 command scope -", "made x 1 -"]
GONE = ["leaving a 1", "leaving b 2"]
MORE = ["making y 2 command scope -", "made y 2 -"]


def wrong(*lines: str) -> str:
    return "; ".join(Verdict(lines).wrong)


def test_the_judge_sees_nothing_where_nothing_is() -> None:
    """A storm in which all went well is not accused of anything."""
    assert wrong(*UP, *MORE, *GONE, "ran y 2", "ran x 2", "left b 2") == ""
    assert wrong(*UP, "releasing x 1", "ran x 1", *GONE) == ""
    assert wrong(*UP, "signal 1", "signal 2", "ran x 9") == ""
    # Whoever cleaned first was killed before it could say that it was done, or even who it was.
    assert wrong(*UP, *GONE, "ran x 2", "signal 2", "ran x 9") == ""
    others = "up a 3", "making x 3 command scope -", "made x 3 -", "leaving a 3"
    assert wrong(*others, "ran x 1", "ran x 1", "ran x 9") == ""
    # What it had begun went on without it, and was slower than the next one.
    assert wrong(*others, "ran x 9", "ran x 1") == ""
    assert wrong(*UP, *GONE, "signal 2", "ran x 9", "ran x 2") == ""
    # A worker that only joined, and was ended by its pool.
    assert wrong(*UP, *GONE, "joining 3", "ran x 3", "ran x 9") == ""


def test_the_judge_sees_a_leak() -> None:
    """Something that was made and never cleaned is seen."""
    assert wrong(*UP, *GONE, "left b 2") == "x was never cleaned"


def test_the_judge_sees_what_is_cleaned_twice() -> None:
    """Something cleaned again is seen, unless the one who did it was killed."""
    assert "again" in wrong(*UP, *GONE, "ran x 2", "left b 2", "ran x 9")
    assert "again" in wrong(*UP, *GONE, "ran x 2", "ran x 2")
    assert "again" in wrong(*UP, *GONE, "ran x 8", "ran x 9")
    assert "again" in wrong(*UP, *GONE, "ran x 9", "signal 2", "ran x 2")
    assert "again" in wrong(*UP, *GONE, "ran x 8", "ran x 1", "ran x 9")


def test_the_judge_sees_what_is_cleaned_under_somebody() -> None:
    """Something cleaned while a member lives is seen; of one that was killed nobody knows."""
    assert "under 2" in wrong(*UP, "leaving a 1", "ran x 1", "leaving b 2")
    assert wrong(*UP, "signal 2", "leaving a 1", "ran x 1", "leaving b 2") == ""
    own = "making z 1 command member -", "made z 1 -"
    assert "under 1" in wrong(*UP, *own, "ran z 2", *GONE, "ran x 2")


def test_the_judge_sees_the_wrong_order() -> None:
    """What went before a newer one, or before what must go first, is seen."""
    assert "newer" in wrong(*UP, *MORE, *GONE, "ran x 2", "ran y 2")
    after = "making z 1 command scope -", "made z 1 x"
    assert "must go first" in wrong(*UP, *after, *GONE, "ran z 2", "ran x 2")
    assert wrong(*UP, *after, *GONE, "ran x 2", "ran z 2") == ""


def test_the_judge_believes_what_processes_saw() -> None:
    """A thing that was gone, a descriptor too many, and an error are faults."""
    assert "gone under 1" in wrong(*UP, "lost /f 1", *GONE, "ran x 2")
    assert "scope.lock" in wrong(*UP, "open 1 a.journal scope.lock", *GONE, "ran x 2")
    assert wrong(*UP, "signal 1", "open 1 nothing", *GONE, "ran x 2") == ""
    assert "no scope" in wrong(*UP, "outside a.0 3", *GONE, "ran x 2")
    assert wrong(*UP, "signal 1", "outside a.0 3", *GONE, "ran x 2") == ""
    assert "ScopeGone" in wrong(*UP, "failed a 1 ScopeGone: it", *GONE, "ran x 2")
    # It was ended by its pool, or as an orphan, and is just leaving.
    assert wrong(*UP, "ending 1", "failed a 1 UsageError: it", *GONE, "ran x 2") == ""
    assert wrong(*UP, "ending 1", "outside a.0 3", "lost /f 1", *GONE, "ran x 2") == ""
