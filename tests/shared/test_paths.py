"""How paths are written down, and what is no path at all."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from lastout import errors
from lastout._platform.files import LONGEST_SOCKET_PATH
from support.artifacts import make, recipe, track

KINDS = ["directory", "file", "socket"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_name_lies_below_the_base(kind: str, tmp_path: Path) -> None:
    """Without a path each one gets a name of its own."""
    made = [make(kind, None, str(tmp_path)) for _ in range(3)]
    assert len({one.location for one in made}) == 3
    assert {os.path.dirname(one.location) for one in made} == {os.path.realpath(tmp_path)}


@pytest.mark.parametrize(("kind", "mode"), [("directory", 0o700), ("file", 0o600)])
def test_what_is_made_is_for_its_owner_only(kind: str, mode: int, tmp_path: Path) -> None:
    """Nobody else may read it, whatever the umask is."""
    before = os.umask(0)
    try:
        made = make(kind, None, str(tmp_path))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(made.location).st_mode) == mode


@pytest.mark.parametrize("spell", [str, os.fsencode, Path])
def test_paths_come_in_every_spelling(
    spell: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, bytes and path objects, relative ones and those with a slash at the end, are one."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "./b/", "c//"):
        made = make("directory", spell(name), "/nowhere")
        assert made.location == os.path.join(os.path.realpath(tmp_path), name.strip("./"))


def test_links_above_are_resolved(tmp_path: Path) -> None:
    """A link on the way that is swapped later leads the cleaner nowhere else."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    made = make("file", tmp_path / "link" / "it", "/nowhere")
    assert made.location == os.path.join(os.path.realpath(tmp_path), "real", "it")
    (tmp_path / "link").unlink()
    made.clean()
    assert os.listdir(tmp_path / "real") == []


@pytest.mark.parametrize("name", ["new\nline", "q'\"\\", "ünï", b"\xff\xfe", " ", "x" * 255, "-rf"])
def test_odd_names_are_names(name: str | bytes, tmp_path: Path) -> None:
    """Whatever the file system can have can be made, recorded and cleaned."""
    path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
    made = make("file", path, "/nowhere")
    assert os.path.exists(path)
    made.clean()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256, "é" * 200, "\ud800", b"\0"])
def test_impossible_names_are_the_callers_act(kind: str, name: str, tmp_path: Path) -> None:
    """What the file system cannot have is refused before anything is recorded."""
    path = name if name in ("", b"\0") else str(tmp_path / name)
    with pytest.raises(errors.UsageError, match=f"cannot be the path of a {kind}"):
        make(kind, path, str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("there", ["file", "directory", "dangling link"])
def test_what_is_there_is_not_made_again(kind: str, there: str, tmp_path: Path) -> None:
    """Something that exists is refused, stays as it was, and the error names `track`."""
    path = tmp_path / "it"
    if there == "file":
        path.write_text("theirs")
    elif there == "directory":
        path.mkdir()
    else:
        path.symlink_to("/nowhere/at/all")
    with pytest.raises(errors.ArtifactExists, match="track") as caught:
        make(kind, path, "/nowhere")
    assert isinstance(caught.value, FileExistsError | errors.UsageError)
    assert os.path.lexists(path)


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_one_that_came_in_between_is_not_taken(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who made it between check and creation keeps it."""
    create = recipe(kind, tmp_path / "it", "/nowhere").create
    assert create is not None
    (tmp_path / "it").symlink_to(tmp_path)
    with pytest.raises(errors.ArtifactExists):
        create()
    assert (tmp_path / "it").is_symlink()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_parent_is_an_error(kind: str, tmp_path: Path) -> None:
    """Directories above are the caller's: they would not be cleaned."""
    with pytest.raises(errors.ArtifactMissing, match="no directory"):
        make(kind, tmp_path / "no" / "it", "/nowhere")


def deep(tmp_path: Path) -> Path:
    """A directory in which no socket can be bound by its whole path."""
    made = tmp_path / ("d" * 60) / ("e" * 60)
    made.mkdir(parents=True)
    return made


def bind(path: str) -> None:
    """Have a server there, and remove it."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
    os.unlink(path)


def test_a_fresh_socket_can_be_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the directory for temporary files is too long for it, it lies in another one."""
    for runtime in ("", str(tmp_path / "none"), str(deep(tmp_path))):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        bind(make("socket", None, str(tmp_path / ("d" * 60) / ("e" * 60))).location)
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    made = make("socket", None, str(tmp_path / ("d" * 60) / ("e" * 60)))
    assert os.path.dirname(made.location) == os.path.realpath(tmp_path / "run")
    assert list(tmp_path.rglob("*socket*")) == []


def test_the_longest_socket(tmp_path: Path) -> None:
    """A path that can be bound is taken to the last byte; one that never can is refused at once."""
    base = os.path.realpath(tmp_path)
    fits = os.path.join(base, "x" * (LONGEST_SOCKET_PATH - len(base) - 1))
    bind(make("socket", fits, "/nowhere").location)
    with pytest.raises(OSError, match="too long"):
        bind(f"{fits}x")
    with pytest.raises(errors.UsageError, match=f"{LONGEST_SOCKET_PATH + 1} bytes"):
        make("socket", f"{fits}x", "/nowhere")
    assert os.listdir(tmp_path) == []


def test_a_socket_by_a_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep below the present directory it can be bound as it was named, and is cleaned."""
    monkeypatch.chdir(deep(tmp_path))
    made = make("socket", "here", "/nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("here")
    made.clean()
    assert os.listdir() == []


def test_no_place_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no directory is short enough and may be written to, that is told."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(errors.UsageError, match="choose a shorter one"):
        make("socket", None, str(deep(tmp_path)))


def test_only_what_is_there_can_be_tracked(tmp_path: Path) -> None:
    """Tracking what is missing, or is of another kind, is the caller's act."""
    with pytest.raises(errors.ArtifactMissing, match="nothing is there"):
        track("file", tmp_path / "it")
    with pytest.raises(errors.UsageError, match="it is a directory"):
        track("file", tmp_path)
    (tmp_path / "it").touch()
    with pytest.raises(errors.UsageError, match="it is a file"):
        track("directory", tmp_path / "it")
    with pytest.raises(errors.UsageError, match="cannot track a 'callback'"):
        track("callback", "x")
