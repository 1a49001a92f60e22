"""A journal gives back what was written into it, whatever that was and wherever it ends.

The model is a list of records with the bytes that they were written as; what has to
be read out of any prefix is what its whole records say.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from lastout._identity import Identity
from lastout._scopes.records import journal
from lastout._scopes.records.artifact import Artifact
from lastout._scopes.records.journal import parse

# Any text, as paths are: lone surrogates stand for bytes that are no UTF-8.
texts = st.text(st.characters(), max_size=40) | st.binary(max_size=20).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
facts = st.dictionaries(texts, values, max_size=3)
times = st.integers(0, 2**63)
few = st.integers(1, 8)
kinds = st.sampled_from(["directory", "file", "popen", "callback", "of_a_newer_version"])
lifetimes = st.sampled_from(["scope", "member"])
identities = st.builds(
    Identity, st.none() | few, st.none() | times, texts, times, few, times, texts
)


class Record(NamedTuple):
    """What was recorded, and the bytes that say so."""

    verb: str
    said: Any
    written: bytes


def _made(ns: int, number: int, *said: Any) -> Record:
    return Record("made", (ns, number, *said), journal.made(ns, number, *said))


def _marks(verb: str, numbers: list[int]) -> Record:
    return Record(verb, numbers, journal.mark(verb, numbers))


records = st.lists(
    st.builds(_made, times, few, kinds, texts, lifetimes, st.lists(texts, max_size=2), facts)
    | st.builds(lambda n, data: Record("more", (n, data), journal.more(n, data)), few, facts)
    | st.builds(_marks, st.sampled_from(["begun", "done", "kept"]), st.lists(few, max_size=4))
    | st.builds(lambda ns, who: Record("join", (ns, who), journal.join(ns, who)), times, identities)
    | st.builds(lambda ns: Record("left", ns, journal.left(ns)), times),
    max_size=12,
)


class Expected:
    """What a reader should know after some records."""

    def __init__(self, some: list[Record]) -> None:
        self.made: dict[int, Artifact] = {}
        self.begun: set[int] = set()
        self.gone: set[int] = set()
        self.joined: tuple[int, Identity] = (0, Identity(None))
        self.left = False
        self.nonsense = 0
        for record in some:
            self._hear(record.verb, record.said)

    def _hear(self, verb: str, said: Any) -> None:
        if verb == "made":
            ns, number, kind, location, lifetime, after, data = said
            self.made[number] = Artifact(
                f"me.{number}", kind, location, lifetime, tuple(after), dict(data), ns, "/r/s"
            )
        elif verb == "more" and said[0] in self.made:
            self.made[said[0]] = self.made[said[0]].with_data(said[1])
        elif verb == "more":
            self.nonsense += 1
        elif verb == "join":
            self.joined = said
        elif verb == "left":
            self.left = True
        else:
            (self.begun if verb == "begun" else self.gone).update(said)


def _agree(read: journal.Journal, expected: Expected) -> None:
    assert read.made == expected.made
    assert (read.begun, read.gone, read.left) == (expected.begun, expected.gone, expected.left)
    assert (read.joined_ns, read.who) == expected.joined
    stays = [one for number, one in expected.made.items() if number not in expected.gone]
    assert read.unresolved() == stays
    assert read.damage == expected.nonsense


@given(records)
@example([_made(1, 1, "file", '\n\udc80"\\', "scope", [], {"\n": "\ud800"})])
def test_what_was_written_is_read(some: list[Record]) -> None:
    """Any text in any record comes back as it was."""
    written = journal.header("me") + b"".join(record.written for record in some)
    assert b"\n".join(written.split(b"\n")[1:]).isascii()
    _agree(parse("me", written, "/r/s"), Expected(some))


@given(records, st.data())
def test_any_prefix_gives_its_whole_records(some: list[Record], data: st.DataObject) -> None:
    """A journal that was cut anywhere says what its whole records say, and is no damage."""
    start = journal.header("me")
    end = data.draw(st.integers(0, len(start) + sum(len(one.written) for one in some)))
    cut = (start + b"".join(one.written for one in some))[:end]
    whole, at = 0, len(start)
    while whole < len(some) and at + len(some[whole].written) <= end:
        at += len(some[whole].written)
        whole += 1
    _agree(parse("me", cut, "/r/s"), Expected(some[:whole]))


@given(records, records, st.data())
def test_what_follows_a_torn_record_is_read(
    some: list[Record], more: list[Record], data: st.DataObject
) -> None:
    """A record that was torn is left out alone: what was written after it counts."""
    torn = _made(7, 9, "file", data.draw(texts), "scope", [], {})
    length = data.draw(st.integers(0, len(torn.written) - 1))
    parts = [one.written for one in some], [one.written for one in more]
    written = b"".join([journal.header("me"), *parts[0], torn.written[:length], *parts[1]])
    _agree(parse("me", written, "/r/s"), Expected([*some, *more]))


@given(st.binary(max_size=200), records)
def test_garbage_is_never_believed(garbage: bytes, some: list[Record]) -> None:
    """Bytes that lastout did not write tell it nothing, and do not hide what it wrote."""
    written = b"".join(record.written for record in some)
    read = parse("me", journal.header("me") + b"\n" + garbage + written, "/r/s")
    expected = Expected(some)
    assert (read.made, read.gone, read.left) == (expected.made, expected.gone, expected.left)
    assert read.damage >= expected.nonsense


@given(values)
def test_data_is_json(value: Any) -> None:
    """What a record's data hold is what JSON makes of them."""
    (read,) = parse("me", journal.made(1, 1, "file", "/f", "scope", (), {"it": value})).unresolved()
    assert read.data == json.loads(json.dumps({"it": value}))
