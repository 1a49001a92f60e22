"""Heads of journals: the guardian reads from them what `journal` reads, without JSON."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastout._identity import Identity, here
from lastout._scopes.records import journal as journals
from lastout._scopes.records.journal_header import identity_in_header

numbers = st.integers(0, 2**63)
identities = st.builds(
    Identity,
    pid=st.integers(1, 2**22),
    started=st.none() | numbers,
    boot=st.text("0123456789abcdef-", max_size=36) | st.just("unknown"),
    namespace=numbers,
    interpreter=numbers,
    image=numbers,
    host=st.text(max_size=64),
)


def what_tells(who: Identity) -> tuple[object, ...]:
    return who.pid, who.started, who.boot, who.namespace


@given(identities, identities, st.text())
def test_it_agrees_with_the_journal(who: Identity, parent: Identity, location: str) -> None:
    """Whatever stands around them, `join` and `worker` name the processes that were written."""
    data = journals.header("token") + journals.join(1, who)
    assert identity_in_header(data, b"worker") is None
    data += journals.made(1, 1, "file", location, "scope", (), {"cwd": '["worker",1,2,3,"",4]'})
    data += journals.worker(parent, 5.0)
    parsed = journals.parse("token", data)
    assert parsed.damage == 0
    for verb, read in ((b"join", parsed.who), (b"worker", parsed.parent)):
        found = identity_in_header(data, verb)
        assert found
        assert read
        assert what_tells(found) == what_tells(read)


@given(st.data())
def test_a_torn_head(data: st.DataObject) -> None:
    """Any beginning of a head gives the process that was written, or none, and never raises."""
    head = journals.header("token") + journals.join(1, here())
    end = data.draw(st.integers(0, len(head)))
    found = identity_in_header(head[:end], b"join")
    whole = identity_in_header(head, b"join")
    assert found is None or what_tells(found) == what_tells(whole or here()) or end < len(head)
    assert identity_in_header(head[:end].replace(b"join", b'join",x,y,z'), b"join") is None


def test_a_silent_member() -> None:
    """A journal that was handed over and is not taken yet names nobody."""
    assert identity_in_header(journals.header("token"), b"join") is None
