"""History: what happened in a scope, from the bytes of its journals alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastout._identity import Identity
from lastout._scopes.records import journal
from lastout.cli.timeline.history import read_history

if TYPE_CHECKING:
    from lastout.cli.timeline.history import ScopeHistory


def member(token: str, pid: int, ns: int) -> bytes:
    """The beginning of a journal."""
    who = Identity(pid, started=pid * 7, boot="b", host="h")
    return journal.header(token) + journal.join(ns, who)


def made(ns: int, number: int, kind: str = "file", **data: object) -> bytes:
    return journal.made(ns, number, kind, f"/{kind}{number}", "scope", (), data)


def mark(verb: str, number: int, ns: int, pid: int) -> bytes:
    return journal.seal(f'["{verb}",[{number}],{ns},{pid}]')


def told(past: ScopeHistory) -> list[tuple[str, int, int, str]]:
    """What, when, on whose lane, of which artifact."""
    return [(one.verb, one.ns, one.lane, one.what) for one in past.events]


def test_one_that_left() -> None:
    """Who cleaned all that it had has left by then; a mark that says "left" is enough as well."""
    own = member("a", 1, 10) + made(20, 1) + mark("begun", 1, 30, 1) + mark("done", 1, 31, 1)
    other = member("b", 2, 15) + made(25, 1) + journal.left(40)
    past = read_history({"a": own, "b": other}, 50)
    assert [(lane.how, lane.begin, lane.end) for lane in past.lanes] == [
        ("left", 10, 31),
        ("left", 15, 40),
    ]
    assert told(past) == [
        ("made", 20, 0, "/file1"),
        ("made", 25, 1, "/file1"),
        ("cleaned", 31, 0, "/file1"),
    ]
    assert past.events[2].since == 30
    assert (past.begin, past.end) == (10, 40)


def test_one_that_was_killed() -> None:
    """It died between its last record and the first mark of another; those are on that lane."""
    dead = member("a", 1, 10) + made(20, 1) + mark("begun", 1, 45, 2) + mark("done", 1, 46, 2)
    past = read_history({"a": dead, "b": member("b", 2, 15)}, 50, ["b"])
    assert [(lane.how, lane.seen, lane.end) for lane in past.lanes] == [
        ("died", 20, 45),
        ("alive", 15, 50),
    ]
    assert past.events[-1].verb == "cleaned"
    assert (past.events[-1].lane, past.events[-1].owner) == (1, 0)
    # Whoever looked in the meantime knows better.
    past = read_history({"a": dead, "b": member("b", 2, 15)}, 50, ["b"], {"a": 30})
    assert (past.lanes[0].how, past.lanes[0].seen, past.lanes[0].end) == ("died", 30, 30)


def test_one_that_nobody_cleaned_up_after_yet() -> None:
    """A member that is dead, with its things still there, died by now."""
    past = read_history({"a": member("a", 1, 10) + made(20, 1)}, 50)
    assert (past.lanes[0].how, past.lanes[0].seen, past.lanes[0].end) == ("died", 20, 50)


def test_one_of_which_nothing_is_known() -> None:
    """A journal that is gone, with nothing ever in it, says only that its member is out."""
    past = read_history({"a": member("a", 1, 10)}, 50, (), {"a": 40})
    assert (past.lanes[0].how, past.lanes[0].end) == ("out", 40)


def test_a_reaper_has_a_lane() -> None:
    """Who cleans without being a member is shown as well."""
    dead = member("a", 1, 10) + made(20, 1) + mark("begun", 1, 45, 99) + mark("done", 1, 46, 99)
    past = read_history({"a": dead}, 50)
    assert [lane.label for lane in past.lanes] == ["pid 1", "reaper pid 99"]
    assert (past.lanes[1].begin, past.lanes[1].end) == (45, 46)


def test_a_program_and_its_own_membership_are_one() -> None:
    """A process has one lane: as a program that was started, and as a member that joined."""
    starter = member("a", 1, 10) + made(20, 1, "popen", argv=["/bin/python", "x.py"])
    starter += journal.more(1, {"pid": 5, "started": 35, "member": "b"})
    journals = {"a": starter, "b": journal.header("b"), "c": member("c", 5, 30) + made(33, 1)}
    past = read_history(journals, 60, ["a", "c"], {"b": 50}, {1: "lastout run"})
    assert [lane.label for lane in past.lanes] == ["pid 1 lastout run", "pid 5 python x.py"]
    assert (past.lanes[1].begin, past.lanes[1].end, past.lanes[1].how) == (20, 60, "alive")


def test_early_journals_and_rubbish() -> None:
    """Marks without a time, as early versions wrote them, and what is no record, are left out."""
    data = member("a", 1, 10) + made(20, 1) + journal.seal('["done",[1]]')
    data += journal.seal('["made"]') + journal.seal("{}") + b"\nrubbish"
    past = read_history({"a": data, "b": b""}, 50)
    assert told(past) == [("made", 20, 0, "/file1")]
    assert len(past.lanes) == 2
