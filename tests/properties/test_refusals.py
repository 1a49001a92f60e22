"""Whichever call the system refuses, no lock is kept and no record is thought to be there."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from errno import EACCES, EIO, ENOMEM, EOVERFLOW
from typing import TYPE_CHECKING, Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from lastout._scopes.records import journal
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
from lastout.errors import LastoutError, SystemRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def at_call(number: int, name: str, instead: Callable[..., Any]) -> Iterator[None]:
    """Have that one of the calls of `os.<name>` done otherwise."""
    call, left = getattr(os, name), number

    def wrapper(*args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        return (instead if left == 0 else call)(*args, **options)

    with mock.patch.object(os, name, wrapper):
        yield


@given(number=st.integers(1, 20), code=st.sampled_from([EIO, ENOMEM, EACCES, EOVERFLOW]))
def test_no_lock_is_kept(number: int, code: int) -> None:
    """If the system will not say what a descriptor is, its lock is free afterwards all the same."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with tempfile.TemporaryDirectory() as place:
        backend = LocalBackend(place)
        leases = []
        with (
            suppress(LastoutError, OSError),
            at_call(number, "fstat", refuse),
            backend.lock_scope("s", Deadline(5), create=True) as held,
        ):
            leases.append(held.publish("abc", journal.header("abc")))
            leases[0].append(journal.mark("kept", [1]))
            held.read("abc")
            leases[0].close()
        with backend.lock_scope("s", Deadline(0), create=True) as held:
            for journal_lock in leases:
                journal_lock.close()
            assert not any(map(held.is_held, held.members()))


@given(number=st.integers(1, 5), room=st.integers(0, 60))
def test_half_a_record_is_none(number: int, room: int) -> None:
    """A record that finds too little room is not believed to be written; all others are."""
    write = os.write
    with tempfile.TemporaryDirectory() as place:
        backend = LocalBackend(place)
        with backend.lock_scope("s", Deadline(5), create=True) as held:
            journal_lock = held.publish("abc", journal.header("abc"))
        believed = []
        with at_call(number, "write", lambda to, data: write(to, data[:room])):
            for each in range(1, 6):
                with suppress(SystemRefused):
                    journal_lock.append(
                        journal.made(each, each, "file", f"/{'x' * 60}", "scope", (), {})
                    )
                    believed.append(each)
        found = journal.parse("abc", journal_lock.read(), place)
        journal_lock.close()
        assert [one.number for one in found.unresolved()] == believed
        assert not found.damage
