"""Journal: what is written down is read again, whatever happened to the file."""

from __future__ import annotations

import os
import pickle
from time import monotonic_ns

import pytest

from lastout import LastoutError
from lastout._identity import here
from lastout._scopes.records import journal
from lastout._scopes.records.journal import parse
from lastout.errors import JournalTooNew

START = journal.header("abc") + journal.join(5, here())


def made(number: int, location: str = "/tmp/x", **data: object) -> bytes:
    return journal.made(10 + number, number, "directory", location, "scope", (), data)


def test_everything_is_read_again() -> None:
    """Each record comes back as it was written."""
    after = ("other.1", "abc.1")
    lines = START + journal.made(7, 1, "file", "/tmp/f", "member", after, {"a": [1, None]})
    read = parse("abc", lines + journal.more(1, {"inode": 3}), "/r/s")
    (artifact,) = read.unresolved()
    assert (artifact.id, artifact.kind, artifact.location) == ("abc.1", "file", "/tmp/f")
    assert (artifact.lifetime, artifact.after, artifact.made_ns) == ("member", after, 7)
    assert artifact.data == {"a": [1, None], "inode": 3}
    assert artifact.scope == "/r/s"
    assert (read.who, read.joined_ns, read.left, read.damage) == (here(), 5, False, 0)


def test_what_is_resolved() -> None:
    """Those that were cleaned or are to be kept are not unresolved; those only begun are."""
    lines = START + b"".join(made(number) for number in range(1, 6))
    lines += journal.mark("begun", [1, 2]) + journal.mark("done", [1]) + journal.mark("kept", [3])
    read = parse("abc", lines + journal.left(9))
    assert [artifact.number for artifact in read.unresolved()] == [2, 4, 5]
    assert read.begun == {1, 2}
    assert read.left


def test_a_mark_says_when_and_by_whom() -> None:
    """Time and process stand behind the numbers of a mark; one without them is read as well."""
    before = monotonic_ns()
    *_, [verb, numbers, ns, pid] = journal.records(START + journal.mark("done", [1, 2]))
    assert (verb, numbers, pid) == ("done", [1, 2], os.getpid())
    assert before <= ns <= monotonic_ns()
    early = parse(
        "abc", START + made(1) + journal.seal('["begun",[1]]') + journal.seal('["done",[1]]')
    )
    assert early.unresolved() == []
    assert early.damage == 0


@pytest.mark.parametrize(
    "location",
    ["/tmp/\udcff\udc80", '/tmp/"quoted"\\', "/tmp/line\nbreak", "/tmp/ü€😀", "/" + "x" * 4000],
)
def test_any_path(location: str) -> None:
    """Any path comes back, undecodable bytes, quotes and newlines included."""
    (artifact,) = parse("abc", START + made(1, location)).unresolved()
    assert artifact.location == location


def test_a_torn_tail_is_left_out() -> None:
    """Any prefix of a journal gives its whole records, and is not called damage."""
    whole = START + made(1) + made(2, "/tmp/ü")
    for end in range(len(whole)):
        read = parse("abc", whole[:end])
        assert len(read.made) == (0 if end < len(START + made(1)) else 1)
        assert read.damage == 0


def test_the_next_record_does_not_join_a_torn_one() -> None:
    """A record after a torn one is read."""
    for end in range(len(made(1))):
        read = parse("abc", START + made(1)[:end] + made(2))
        assert [artifact.number for artifact in read.unresolved()] == [2]
        assert read.damage == 0


@pytest.mark.parametrize("garbage", [b"\n\0\0\0\0", b"\ngarbage", b"\n12345678 {}", b"\n\xff\xfe"])
def test_garbage_is_counted(garbage: bytes) -> None:
    """Garbage in the middle is damage, and what stands around it is read."""
    read = parse("abc", START + made(1) + garbage + made(2))
    assert [artifact.number for artifact in read.unresolved()] == [1, 2]
    assert read.damage == 1


def test_a_flipped_bit_is_found() -> None:
    """A record with one changed bit is not believed."""
    line = bytearray(made(1))
    for place in range(1, len(line)):
        changed = bytes(line[:place]) + bytes([line[place] ^ 1]) + bytes(line[place + 1 :])
        assert not parse("abc", START + changed).made


WORKER = '"b",0,0,0,"h",false]'  # the end of what a worker says


@pytest.mark.parametrize(
    "nonsense",
    [
        *('["fly",1]', '["more",99,{}]', '["made",1]', "[]", "{}", "7", "not JSON"),
        # As some verb goes on, but of none that there is.
        *('["aaa",[1]]', '["aaa",1,7]', '["zzz",1]', f'["zzz",1,1,2,{WORKER}'),
        # As they are, but of other types.
        *('["begun",3]', '["made","1",1,"file","/x","scope",[],{}]'),
        *('["made",1,true,"file","/x","scope",[],{}]', '["made",1,1,7,"/x","scope",[],{}]'),
        *('["made",1,1,"file",7,"scope",[],{}]', '["made",1,1,"file","/x","scope",[],[]]'),
    ],
)
def test_unknown_records_are_damage(nonsense: str) -> None:
    """A sound record that makes no sense is damage, not a crash, and nothing is taken from it."""
    read = parse("abc", START + journal.seal(nonsense) + made(2))
    assert read.damage == 1
    assert list(read.made) == [2]
    assert (read.left, read.begun, read.gone, read.parent) == (False, set(), set(), None)


def test_what_stands_before_the_first_record_is_damage() -> None:
    """A journal begins with the newline of its first record."""
    read = parse("abc", START[1:] + made(1))
    assert (read.damage, list(read.made)) == (1, [1])
    assert [verb for verb, *_ in journal.records(START[1:] + made(1))] == ["join", "made"]


def test_records_are_shown_as_they_stand() -> None:
    """For people all records are given that have a verb, known or not."""
    odd = b"".join(map(journal.seal, ('["fly",1]', "[]", "{}", '{"a":1}', "7", "not JSON")))
    assert journal.records(journal.header("abc") + odd + journal.left(9)) == [
        ["lastout", 1, "abc"],
        ["fly", 1],
        ["left", 9],
    ]


@pytest.mark.parametrize("terminates_itself", [False, True])
def test_a_worker(terminates_itself: bool) -> None:
    """A worker says whose it is, how long it may take to end, and whether it sees to that."""
    read = parse("abc", START + journal.worker(here(), 2.5, terminates_itself))
    assert (read.parent, read.grace, read.terminates_itself) == (here(), 2.5, terminates_itself)
    assert journal.worker(here(), 2.5) == journal.worker(here(), 2.5, terminates_itself=False)


def test_an_empty_journal() -> None:
    """A journal with nothing in it is that of a member that never said who it is."""
    read = parse("abc", b"")
    assert (read.who.pid, read.joined_ns, read.made, read.damage) == (None, 0, {}, 0)
    assert (read.left, read.parent, read.grace, read.terminates_itself) == (False, None, 0.0, False)


def test_the_format_is_written_down() -> None:
    """A journal begins with the number of its format, 1; an older one is read as well."""
    assert journal.header("abc") == journal.seal('["lastout",1,"abc"]')
    assert list(parse("abc", journal.seal('["lastout",0,"abc"]') + made(1)).made) == [1]


def test_a_newer_format_is_refused() -> None:
    """A newer format is refused with what to do, and the error can be pickled."""
    newer = journal.seal('["lastout",2,"abc"]')
    with pytest.raises(JournalTooNew, match="upgrade") as caught:
        parse("abc", newer + made(1) + b"\nwhatever comes there", "/r/s")
    assert isinstance(caught.value, LastoutError)
    assert pickle.loads(pickle.dumps(caught.value)).member == "abc"


def test_nan_cannot_be_recorded() -> None:
    """What JSON cannot hold is refused before it is written."""
    with pytest.raises(ValueError, match="JSON"):
        made(1, data=float("nan"))
