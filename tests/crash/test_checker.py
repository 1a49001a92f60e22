"""The judge: it sees each broken promise, and nothing else."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from .checker import Ledger
from .shim import STOP, Event

if TYPE_CHECKING:
    from pathlib import Path

ONE, OTHER, THIRD, JUDGE = 101, 102, 103, 1
LOCK, UNLOCK = 6, 8


class Tape:
    """Writes what a tape would say of two members in one scope."""

    def __init__(self, base: Path) -> None:
        self.root, self.area = base / "root", base / "things"
        self.area.mkdir()
        self.events: list[Event] = []
        for pid in (ONE, OTHER):
            self.record(pid, ["lastout", 1, f"t{pid}"])
            self.record(pid, ["join", 1, pid, 1, "boot", 1, 0, 0, "host"])
            self.add("to", pid, f"{self.root}/s/t{pid}.journal")

    def add(self, what: str, pid: int, text: object = "", value: int = 0) -> None:
        self.events.append(Event(what, pid, value, str(text)))

    def record(self, pid: int, record: list[object], token: int = 0) -> None:
        body = json.dumps(record).encode()
        path = f"{self.root}/s/t{token or pid}.journal"
        more = b"\n%08x %b" % (crc32(body), body)
        self.events.append(Event("record", pid, len(more), path, more))

    def make(
        self, pid: int, number: int, name: str, lifetime: str = "scope", after: tuple[str, ...] = ()
    ) -> None:
        kind = "command" if name.startswith("free-") else "file"
        data = {"argv": ["rm", f"{self.area}/{name}"]} if kind == "command" else {}
        place = f"{self.area}/{name}"
        fields = [number, number, kind, place, lifetime, list(after), data]
        self.record(pid, ["made", *fields])
        self.add("create", pid, self.area / name)
        self.record(pid, ["more", number, {"inode": number}])

    def lock(self, pid: int, name: str = "scope.lock", how: int = LOCK) -> None:
        self.add("flock", pid, f"{self.root}/s/{name}", how)

    def leave(self, pid: int) -> None:
        self.record(pid, ["left", 9])

    def judged(self) -> list[str]:
        ledger = Ledger(self.root, self.area, JUDGE)
        ledger.replay(self.events)
        ledger.check_disk()
        return ledger.violations


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


def test_a_good_life(tape: Tape) -> None:
    """Two that make, leave and clean in order break nothing."""
    tape.make(ONE, 1, "first")
    tape.make(OTHER, 2, "second")
    tape.leave(ONE)
    tape.lock(OTHER)
    for name, pid, number in (("second", OTHER, 2), ("first", ONE, 1)):
        tape.add("remove", OTHER, tape.area / name)
        tape.record(OTHER, ["done", [number]], token=pid)
    tape.add("from", OTHER, f"{tape.root}/s")
    tape.add("settled", JUDGE)
    assert tape.judged() == []


def test_what_nobody_recorded(tape: Tape) -> None:
    """I1: something is made without a record."""
    tape.add("create", ONE, tape.area / "secret")
    (wrong,) = tape.judged()
    assert wrong.startswith("I1")
    assert "nobody had recorded" in wrong


def test_what_stays_after_a_reap(tape: Tape) -> None:
    """I1: everybody is dead, somebody reaped, and a thing is there."""
    tape.make(ONE, 1, "first")
    tape.add("gone", JUDGE, value=ONE)
    tape.add("gone", JUDGE, value=OTHER)
    tape.add("settled", JUDGE)
    (wrong,) = tape.judged()
    assert wrong.startswith("I1")
    assert "nobody is alive" in wrong


def test_what_is_on_the_disk(tape: Tape) -> None:
    """I1: the disk is looked at, whatever the tape says."""
    (tape.area / "left").touch()
    (wrong,) = tape.judged()
    assert wrong.startswith("I1")
    assert wrong.endswith("left is left")


def test_what_was_to_be_kept(tape: Tape) -> None:
    """I1: what is kept stays; not what somebody had released before, and recorded that."""
    for name, number, kept_first in ("early", 1, True), ("late", 2, False):
        tape.make(ONE, number, name)
        tape.add("keep", ONE, tape.area / name)
        tape.add("release", OTHER, tape.area / name)
        marks = [["kept", [number]], ["done", [number]]]
        for mark in marks if kept_first else reversed(marks):
            if mark[0] == "done":
                tape.lock(OTHER)
                tape.add("remove", OTHER, tape.area / name)
            tape.record(OTHER, mark, token=ONE)
    wrong = tape.judged()
    assert [one for one in wrong if "late" in one] == []
    assert [one for one in wrong if "early) was to be kept, and was cleaned" in one] != []


def test_a_record_that_goes_first(tape: Tape) -> None:
    """I1: the scope is removed, and something that stood in it is still there."""
    tape.make(ONE, 1, "first")
    tape.leave(OTHER)
    tape.lock(ONE)
    tape.add("from", ONE, f"{tape.root}/s")
    (wrong,) = tape.judged()
    assert wrong.startswith("I1")
    assert "went before it did" in wrong


def test_what_the_living_may_use(tape: Tape) -> None:
    """I2: what belongs to the scope goes while another member lives."""
    tape.make(ONE, 1, "first")
    tape.lock(ONE)
    tape.add("remove", ONE, tape.area / "first")
    (wrong,) = tape.judged()
    assert wrong.startswith("I2")
    assert f"t{OTHER}" in wrong


def test_what_belongs_to_the_living(tape: Tape) -> None:
    """I2: what belongs to a member goes while that one lives; its own may go by itself."""
    tape.make(ONE, 1, "first", "member")
    tape.make(OTHER, 2, "second", "member")
    tape.lock(OTHER)
    tape.add("remove", OTHER, tape.area / "second")
    tape.add("remove", OTHER, tape.area / "first")
    (wrong,) = tape.judged()
    assert wrong.startswith("I2")
    assert "first" in wrong


def test_the_journal_of_the_living(tape: Tape) -> None:
    """I2: somebody removes the journal of a member that lives."""
    tape.add("remove", OTHER, f"{tape.root}/s/t{ONE}.journal")
    (wrong,) = tape.judged()
    assert wrong.startswith("I2")


@pytest.mark.parametrize(("fault", "found"), [(STOP, ["I2"]), (errno.EMFILE, [])])
def test_what_a_child_was_to_use(tape: Tape, fault: int, found: list[str]) -> None:
    """I2: what a parent had is gone before its child uses it, and nothing was refused."""
    tape.make(ONE, 1, "first")
    tape.leave(OTHER)
    tape.add("born", THIRD, value=ONE)
    tape.add("fault", ONE, value=fault)
    tape.lock(ONE)
    tape.add("remove", ONE, tape.area / "first")
    tape.add("uses", THIRD, tape.area / "first")
    assert [wrong[:2] for wrong in tape.judged()] == found


def test_the_end_of_a_member(tape: Tape) -> None:
    """I2: somebody ends a member; a worker may be ended when its parent has."""
    tape.record(OTHER, ["worker", 5.0, ONE, 1, "boot", 1, 0, 0, "host"])
    tape.add("signal", JUDGE, value=OTHER)
    (wrong,) = tape.judged()
    assert wrong.startswith("I2")
    assert f"ended {OTHER}" in wrong


def test_the_end_of_an_orphan(tape: Tape) -> None:
    """A worker whose parent has ended may be ended."""
    tape.record(OTHER, ["worker", 5.0, ONE, 1, "boot", 1, 0, 0, "host"])
    tape.add("gone", JUDGE, value=ONE)
    tape.add("signal", JUDGE, value=OTHER)
    assert tape.judged() == []


def test_whose_journal_it_is(tape: Tape) -> None:
    """Who records in a journal is that member, though it could not say so."""
    path = f"{tape.root}/s/t{THIRD}.journal"
    tape.record(ONE, ["lastout", 1, f"t{THIRD}"], token=THIRD)
    tape.add("to", ONE, path)
    tape.add("born", THIRD, value=ONE)
    tape.make(THIRD, 1, "first", "member")
    tape.lock(OTHER)
    tape.add("remove", THIRD, tape.area / "first")
    assert tape.judged() == []


@pytest.mark.parametrize(
    ("order", "count"), [(("second", "first", "third"), 2), (("third", "first", "second"), 1)]
)
def test_the_wrong_order(tape: Tape, order: tuple[str, ...], count: int) -> None:
    """I3: what was to go after another goes before it; the older before the newer.

    Also where the newer had waited for something, but does not any more.
    """
    tape.make(ONE, 1, "first")
    tape.make(ONE, 2, "second", after=(f"t{ONE}.3",))
    tape.make(ONE, 3, "third")
    tape.leave(OTHER)
    tape.lock(ONE)
    for name in order:
        tape.add("remove", ONE, tape.area / name)
    judged = tape.judged()
    assert [wrong[:2] for wrong in judged] == ["I3"] * count
    assert "first" in judged[-1]


def test_a_wait_that_was_not_over(tape: Tape) -> None:
    """The older goes first where a newer one has to wait for it."""
    tape.make(ONE, 1, "first")
    tape.make(ONE, 2, "second", after=(f"t{ONE}.1",))
    tape.leave(OTHER)
    tape.lock(ONE)
    for name in ("first", "second"):
        tape.add("remove", ONE, tape.area / name)
    assert tape.judged() == []


@pytest.mark.parametrize("starter", [ONE, JUDGE])
def test_whose_program_it_is(tape: Tape, starter: int) -> None:
    """What a program cleans counts for who started it, also when that one is killed at once."""
    tape.make(ONE, 1, "first")
    tape.make(OTHER, 2, "second")
    for member in (ONE, OTHER):
        tape.add("gone", JUDGE, value=member)
    tape.add("exec", THIRD, value=starter)
    tape.add("program", THIRD, value=JUDGE)
    tape.lock(JUDGE)
    tape.add("remove", THIRD, tape.area / "first")
    tape.add("remove", JUDGE, tape.area / "second")
    assert [wrong[:2] for wrong in tape.judged()] == (["I3"] if starter == JUDGE else [])


def test_without_the_lock(tape: Tape) -> None:
    """I4: somebody cleans a shared thing, and another one had locked the scope."""
    tape.make(ONE, 1, "first")
    tape.leave(OTHER)
    tape.lock(ONE)
    tape.lock(OTHER)
    tape.add("remove", ONE, tape.area / "first")
    (wrong,) = tape.judged()
    assert wrong.startswith("I4")


def test_a_cleanup_that_is_done_again(tape: Tape) -> None:
    """I4: what is done is done again."""
    tape.make(ONE, 1, "first", "member")
    tape.record(ONE, ["done", [1]])
    tape.add("remove", ONE, tape.area / "first")
    (wrong,) = tape.judged()
    assert wrong.startswith("I4")


def test_what_is_nobodys(tape: Tape) -> None:
    """I6: something is removed that nobody had recorded."""
    tape.add("remove", ONE, tape.area / "theirs")
    (wrong,) = tape.judged()
    assert wrong.startswith("I6")


@pytest.mark.parametrize(
    ("name", "turn", "broken"),
    [
        pytest.param("free-first", LOCK, False, id="what is waited for, in its turn"),
        pytest.param("free-first", UNLOCK, True, id="what is waited for, after its turn"),
        pytest.param("first", LOCK, True, id="something plain"),
    ],
)
def test_what_is_cleaned_unlocked(tape: Tape, name: str, turn: int, broken: bool) -> None:
    """I4: the scope may be let go of in one's turn, but for nothing plain."""
    tape.make(ONE, 1, name)
    tape.leave(ONE)
    tape.lock(OTHER)
    for how in (LOCK, turn):
        tape.lock(OTHER, "cleaner.lock", how)
    tape.lock(OTHER, how=UNLOCK)
    tape.add("remove", OTHER, tape.area / name)
    wrong = [one for one in tape.judged() if "locked the scope" in one]
    assert len(wrong) == broken
