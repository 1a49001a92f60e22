"""Whatever somebody else does to our files and descriptors, only what is ours goes.

Somebody swaps directories for links at any step of a removal, puts other things in the
place of ours, plants a journal, or closes the descriptors of a process, as daemons do.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lastout
from lastout import Scope, errors
from lastout._scopes.kinds import command as commands
from lastout._scopes.records import journal
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
from support.artifacts import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER = 65534
CALLS = ("open", "scandir", "unlink", "rmdir", "fstat")
NAMES = ("a", "b", "a/c", "a/d", "b/e", "a/c/f")


@contextmanager
def area() -> Iterator[Path]:
    """A directory of its own for each history, with something precious in it."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made)
        (path / "precious" / "sub").mkdir(parents=True)
        (path / "precious" / "data").touch()
        (path / "precious" / "sub" / "data").touch()
        yield path


def is_whole(precious: Path) -> bool:
    return (precious / "data").exists() and (precious / "sub" / "data").exists()


@contextmanager
def before_call(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Have `act` done before that one of the calls that a removal makes."""
    left = number

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                act()
            return call(*args, **options)

        return wrapper

    with mock.patch.multiple(os, **{name: counted(getattr(os, name)) for name in CALLS}):
        yield


# --- what is removed


@given(
    names=st.sets(st.sampled_from(NAMES), min_size=1),
    swapped=st.sampled_from(("", *NAMES)),
    number=st.integers(1, 30),
)
def test_no_link_is_followed(names: set[str], swapped: str, number: int) -> None:
    """Whichever directory becomes a link before whichever call, nothing beyond it goes."""
    with area() as path:
        made = make("directory", path / "ours", "/nowhere")
        for name in names:
            Path(made.location, name).mkdir(parents=True, exist_ok=True)
            Path(made.location, name, "file").touch()
        victim = Path(made.location, swapped)

        def swap() -> None:
            if victim.is_dir():
                victim.rename(path / "away")
                victim.symlink_to(path / "precious")

        with before_call(number, swap), suppress(errors.LastoutError):
            made.clean()
        with suppress(errors.ArtifactReplaced):
            made.clean()
        assert is_whole(path / "precious")


@given(
    kind=st.sampled_from(["directory", "file"]),
    other=st.sampled_from(["directory", "file", "link"]),
    cut_off=st.booleans(),
)
def test_what_took_its_place_stays(kind: str, other: str, cut_off: bool) -> None:
    """Something else in its place is not removed, unless nothing tells them apart."""
    with area() as path:
        made = make(kind, path / "ours", "/nowhere")
        if cut_off and kind != other:
            made = made.as_if_cut_off()
        place = Path(made.location)
        place.rename(path / "away")
        if other == "directory":
            place.mkdir()
            (place / "data").touch()
        elif other == "file":
            place.touch()
        else:
            place.symlink_to(path / "precious")
        with pytest.raises(errors.ArtifactReplaced):
            made.clean()
        assert os.path.lexists(place)
        assert other != "directory" or (place / "data").exists()
        assert is_whole(path / "precious")


# --- what is obeyed


def plant(path: Path) -> tuple[Path, Path]:
    """A journal of a dead member that wants things done; its root, and what shows that they were.

    The root has to be opened to others for it to be a planted one.
    """
    root, witness = path / "root", path / "witness"
    backend = LocalBackend(root)
    command = commands.recipe(["touch", str(witness)], cwd="/").data
    with backend.lock_scope("s", Deadline(10), create=True):
        backend.publish(
            "s",
            "abc",
            journal.header("abc")
            + journal.made(1, 1, "directory", str(path / "precious"), "scope", (), {})
            + journal.made(2, 2, "command", "touch", "scope", (), command),
        ).close()
    return root, witness


@given(
    spot=st.sampled_from(["", "s", "s/scope.lock", "s/abc.journal"]),
    mode=st.sampled_from([0o020, 0o002, 0o022]),
    owned=st.booleans(),
    joins=st.booleans(),
)
def test_what_others_can_write_is_not_obeyed(
    spot: str, mode: int, owned: bool, joins: bool
) -> None:
    """Whatever of a root others own or can write to, nothing that stands there is done."""
    with area() as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what stays is told
        root, witness = plant(path)
        before, us = (root / spot).stat().st_mode, os.geteuid()
        if owned and us == 0:
            os.chown(root / spot, OTHER, -1)
        else:
            (root / spot).chmod(before | mode)
        with suppress(errors.RootRefused):
            if joins:
                Scope("s", root=root).leave()
            else:
                lastout.reap(root)
        assert is_whole(path / "precious")
        assert not witness.exists()
        # Had it been ours, it would have been.
        os.chown(root / spot, us, -1)
        (root / spot).chmod(before)
        assert not lastout.reap(root).failed
        assert witness.exists()
        assert not (path / "precious").exists()


# --- who is dead


def in_a_child(act: Callable[[], bool]) -> int:
    with warnings.catch_warnings():
        # A test before this one may have left a thread waiting; the child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    status = 9
    try:
        status = 0 if act() else 1
    finally:
        os._exit(status)


@given(
    lifetimes=st.lists(st.sampled_from(["scope", "member"]), min_size=1, max_size=3),
    joins=st.booleans(),
    later=st.booleans(),
)
def test_who_lost_its_descriptors_loses_nothing_else(
    lifetimes: list[str], joins: bool, later: bool
) -> None:
    """While a process lives that closed all descriptors, nobody cleans what it made."""
    with area() as path:
        ready, say_ready = os.pipe()
        go, say_go = os.pipe()

        def daemon() -> bool:
            scope = Scope("s", root=path / "root")
            made = [scope.directory(path / f"{i}", lifetime=one) for i, one in enumerate(lifetimes)]
            os.closerange(3, min(say_ready, go))
            for number in set(range(3, 64)) - {say_ready, go}:
                with suppress(OSError):
                    os.close(number)
            if later:  # this takes its journal back
                made.append(scope.directory(path / "later"))
            os.write(say_ready, b".")
            os.read(go, 1)
            return all(map(os.path.isdir, made))

        pid = in_a_child(daemon)
        assert os.read(ready, 1) == b"."
        if joins:
            Scope("s", root=path / "root").leave()
        else:
            lastout.reap(path / "root")
        os.write(say_go, b".")
        _, status = os.waitpid(pid, 0)
        for number in (ready, say_ready, go, say_go):
            os.close(number)
        assert status == 0
        assert not lastout.reap(path / "root").failed
        assert sorted(os.listdir(path)) == ["precious", "root"]
