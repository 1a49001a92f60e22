"""One thread leaves while another one makes or releases: nothing is lost between them."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import lastout
from lastout import Scope, UsageError
from lastout._shared import makers

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

errors: list[BaseException] = []


def test_leaving_waits_for_what_is_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a thread has recorded and not yet made when another one leaves is cleaned as well."""
    recorded, go_on = Event(), Event()
    create = makers.create_file

    def slowly(location: str, data: Any) -> Any:
        recorded.set()
        assert go_on.wait(30)
        return create(location, data)

    monkeypatch.setattr(makers, "create_file", slowly)
    scope = Scope("s")
    making = Thread(target=scope.file, args=(tmp_path / "x",))
    making.start()
    assert recorded.wait(30)
    leaving = Thread(target=scope.leave)
    leaving.start()
    leaving.join(0.05)
    assert leaving.is_alive(), "it did not wait"
    go_on.set()
    making.join()
    leaving.join()
    assert not (tmp_path / "x").exists()


def make_late(path: str) -> None:
    try:
        lastout.current_scope().file(path)
    except UsageError as error:
        errors.append(error)


def test_nothing_is_made_once_it_is_being_left(tmp_path: Path) -> None:
    """A cleanup that makes something in the scope that is being left is refused, with an error."""
    errors.clear()
    scope = Scope("s")
    scope.callback(make_late, os.fspath(tmp_path / "late"))
    assert scope.leave().ok
    [error] = errors
    assert "leaving" in str(error)
    assert not (tmp_path / "late").exists()


def test_making_and_leaving_at_any_moment(tmp_path: Path) -> None:
    """Whatever threads make while another one leaves is gone when it has left."""
    for number in range(30):
        place = tmp_path / f"{number}"
        place.mkdir()
        scope, begun = Scope("s"), Event()

        def make(
            name: str, scope: Scope = scope, begun: Event = begun, place: Path = place
        ) -> None:
            with suppress(UsageError):
                for each in count():
                    scope.file(place / f"{name}{each}")
                    begun.set()

        threads = [Thread(target=make, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        assert begun.wait(30)
        assert scope.leave().ok
        for thread in threads:
            thread.join()
        assert os.listdir(place) == []
