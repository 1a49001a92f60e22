"""What holds for every kind, and the kinds that are one path: files and sockets."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path

import pytest

from lastout import errors
from lastout._scopes.kinds import table as cleaners
from lastout.deadline import Deadline
from support.artifacts import Made, make, track
from support.unprivileged import without_privileges

PATHS = ["directory", "file", "socket"]


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A directory to make things in."""
    path = tmp_path / "base"
    path.mkdir()
    return str(path)


def one(kind: str, base: str) -> Made:
    """Something of that kind that is really there."""
    made = make(kind, None, base)
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(made.location)
    return made


def test_kinds_are_those_of_the_design() -> None:
    """Every kind that a scope can make has its cleaner."""
    assert {"directory", "file", "socket"} <= cleaners.KINDS


def test_an_unknown_kind_is_refused_by_name() -> None:
    """A kind that only a newer version knows is an error that says so, and nothing is touched."""
    with pytest.raises(errors.UnknownKind, match=r"'teapot'.*version") as caught:
        cleaners.clean("teapot", "/nowhere", {}, Deadline())
    assert pickle.loads(pickle.dumps(caught.value)).kind == "teapot"


@pytest.mark.parametrize("kind", PATHS)
def test_what_was_made_is_cleaned(kind: str, base: str) -> None:
    """Cleaning removes what was made."""
    made = one(kind, base)
    assert os.path.lexists(made.location)
    made.clean()
    assert os.listdir(base) == []


@pytest.mark.parametrize("kind", PATHS)
def test_cleaning_twice_is_cleaning_once(kind: str, base: str) -> None:
    """An interrupted cleaner may be called again after it was through."""
    made = one(kind, base)
    made.clean()
    made.clean()


@pytest.mark.parametrize("kind", PATHS)
def test_what_was_never_made_is_clean(kind: str, base: str) -> None:
    """A maker that was killed between record and artifact leaves nothing to do."""
    made = make(kind, None, base)
    if kind != "socket":
        made.clean()
    made.as_if_cut_off().clean()


@pytest.mark.parametrize("kind", PATHS)
def test_where_even_the_parent_is_gone_all_is_clean(kind: str, base: str) -> None:
    """The directory above may have been cleaned first, or be a file by now."""
    made = one(kind, base)._replace(location=os.path.join(base, "gone", "x"))
    made.clean()
    Path(base, "gone").touch()
    made.clean()


@pytest.mark.parametrize("kind", PATHS)
def test_a_maker_that_was_cut_off_is_cleaned_after(kind: str, base: str) -> None:
    """A thing that was made, but of which nothing more was recorded, is removed all the same."""
    one(kind, base).as_if_cut_off().clean()
    assert os.listdir(base) == []


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("instead", ["link", "dangling link", "fifo"])
def test_what_took_its_place_is_left_alone(kind: str, instead: str, base: str) -> None:
    """Another thing in its place is reported, stays, and so does what a link points to."""
    made = one(kind, base)
    aside = os.path.join(base, "aside")
    os.rename(made.location, aside)
    if instead == "fifo":
        os.mkfifo(made.location)
    else:
        os.symlink(aside if instead == "link" else "/nowhere/at/all", made.location)
    with pytest.raises(errors.ArtifactReplaced, match=r"replaced.*left alone"):
        made.clean()
    assert os.path.lexists(made.location)
    assert os.path.lexists(aside)


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_another_one_of_its_kind_is_left_alone(kind: str, base: str) -> None:
    """A file that somebody else made under the same name is theirs."""
    made = one(kind, base)
    os.rename(made.location, os.path.join(base, "aside"))
    again = make(kind, made.location, base)
    with pytest.raises(errors.ArtifactReplaced, match="another one"):
        made.clean()
    again.clean()


@pytest.mark.parametrize("kind", PATHS)
def test_of_a_cut_off_maker_only_what_is_of_its_kind_is_removed(kind: str, base: str) -> None:
    """Without an inode to go by, the type still has to be right."""
    made = make(kind, None, base).as_if_cut_off()
    if os.path.lexists(made.location):
        os.rename(made.location, os.path.join(base, "aside"))
    os.symlink(base, made.location)
    with pytest.raises(errors.ArtifactReplaced, match="symbolic link"):
        made.clean()
    assert os.path.islink(made.location)


def test_what_cannot_be_unlinked_is_an_error(base: str) -> None:
    """The system's own error comes through, so that the record can stay."""
    made = one("file", base)
    os.chmod(base, 0o500)
    raised = without_privileges(made.clean)
    os.chmod(base, 0o700)
    assert isinstance(raised, PermissionError)
    made.clean()
    assert os.listdir(base) == []


@pytest.mark.parametrize("target", ["file", "directory", "fifo", "link"])
def test_tracked_things_are_removed_as_they_were(target: str, base: str) -> None:
    """What existed before can be handed over; of a link the link goes, not its target."""
    path, other = os.path.join(base, "it"), os.path.join(base, "other")
    Path(other).touch()
    if target == "file":
        os.rename(other, path)
    elif target == "directory":
        os.mkdir(path)
    elif target == "fifo":
        os.mkfifo(path)
    else:
        os.symlink(other, path)
    kept = os.path.lexists(other)
    made = track("directory" if target == "directory" else "file", path)
    made.clean()
    assert not os.path.lexists(path)
    assert os.path.lexists(other) == kept
