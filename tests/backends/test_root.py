"""The root: which directory it is, and when it is not to be trusted."""

from __future__ import annotations

import os
import pickle
import sys
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope, UsageError
from lastout.backends import root as rooms
from lastout.backends.local import LocalBackend
from lastout.backends.root import check_name, find_root
from lastout.deadline import Deadline
from lastout.errors import RootRefused, SystemRefused

if TYPE_CHECKING:
    from pathlib import Path


def use(path: Path) -> None:
    with LocalBackend(path).lock_scope("s", Deadline(10), create=True) as held:  # type: ignore[union-attr]
        held.sweep()


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument, else LASTOUT_ROOT, else the runtime directory, else the temporary one."""
    monkeypatch.setenv("LASTOUT_ROOT", str(tmp_path / "env"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert find_root(tmp_path / "given") == str(tmp_path / "given")
    assert find_root(None) == str(tmp_path / "env")
    monkeypatch.delenv("LASTOUT_ROOT")
    assert find_root(None) == str(tmp_path / "lastout")
    for runtime in (str(tmp_path / "none"), ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        assert os.path.basename(find_root(None)) == f"lastout-{os.getuid()}"


def test_a_runtime_directory_of_somebody_else_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `su`, the runtime directory is still that of the former user."""
    monkeypatch.delenv("LASTOUT_ROOT")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert os.path.basename(find_root(None)) == f"lastout-{me + 1}"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_no_path(path: str) -> None:
    """What cannot be a path is refused."""
    with pytest.raises(UsageError, match="cannot be a directory"):
        find_root(path)


def test_it_is_made_with_what_is_above_it(tmp_path: Path) -> None:
    """The root is made when it is needed, for its owner only."""
    use(tmp_path / "a" / "b")
    assert os.stat(tmp_path / "a" / "b").st_mode & 0o777 == 0o700


def test_a_link_is_refused(tmp_path: Path) -> None:
    """A root that is a link is refused, and nothing is made behind it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(RootRefused, match="symbolic link"):
        use(tmp_path / "link")
    assert os.listdir(tmp_path / "real") == []
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(RootRefused, match="symbolic link"):
        use(tmp_path / "dangling")


def test_a_file_is_refused(tmp_path: Path) -> None:
    """A root that is a file is refused."""
    (tmp_path / "file").touch()
    with pytest.raises(RootRefused, match="not a directory"):
        use(tmp_path / "file")


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_root_writable_by_others_is_refused(tmp_path: Path, mode: int) -> None:
    """A root in which others can write is refused, with the command that helps."""
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", mode)
    with pytest.raises(RootRefused, match="chmod go-w"):
        use(tmp_path / "open")
    os.chmod(tmp_path / "open", 0o755)
    use(tmp_path / "open")


def test_a_root_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that belongs to somebody else is refused."""
    use(tmp_path / "mine")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(RootRefused, match=f"belongs to user {me}"):
        use(tmp_path / "mine")


def test_a_scope_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A scope that is a link, or writable by others, is refused."""
    (tmp_path / "place").mkdir(mode=0o700)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "place" / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RootRefused, match="symbolic link"):
        use(tmp_path / "place")
    (tmp_path / "place" / "s").unlink()
    (tmp_path / "place" / "s").mkdir()
    os.chmod(tmp_path / "place" / "s", 0o777)
    with pytest.raises(RootRefused, match="others can write"):
        use(tmp_path / "place")


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every directory lies on a file system that nothing is known of."""
    monkeypatch.setattr(rooms, "file_system_of", lambda descriptor: "fuse.juicefs")
    monkeypatch.setattr(rooms, "_reliable", set())


@pytest.mark.usefixtures("unknown")
def test_a_file_system_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """Where a free lock may prove nothing there are no scopes; the error has type and ways out."""
    with pytest.raises(RootRefused, match=r"fuse\.juicefs.*LASTOUT_ROOT.*trust_root") as caught:
        use(tmp_path / "root")
    assert caught.value.file_system == "fuse.juicefs"
    assert os.listdir(tmp_path / "root") == []
    with pytest.raises(RootRefused, match=r"fuse\.juicefs"):
        lastout.reap(tmp_path / "root")


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_root_that_is_trusted(by_hand: bool, tmp_path: Path) -> None:
    """Once its user has said so, everybody takes it, whatever its file system is."""
    root = tmp_path / "place"
    if by_hand:
        root.mkdir(0o700)
        (root / ".trusted").touch()
    with Scope("s", root=root, trust_root=not by_hand):
        pass
    with Scope("s", root=root) as scope:
        copy = pickle.loads(pickle.dumps(scope))
        assert len(copy.members()) == 1
    assert lastout.reap(root).ok
    assert os.listdir(root) == [".trusted"]


def test_trust_is_no_pardon(tmp_path: Path) -> None:
    """A root in which others can write is refused however much it is trusted."""
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(RootRefused, match="others can write"):
        Scope("s", root=root, trust_root=True)
    assert os.listdir(root) == []


@pytest.mark.usefixtures("unknown")
def test_a_link_trusts_nothing(tmp_path: Path) -> None:
    """Only a file says that a root is trusted."""
    root = tmp_path / "place"
    root.mkdir(0o700)
    (root / ".trusted").symlink_to(__file__)
    with pytest.raises(RootRefused, match=r"fuse\.juicefs"):
        Scope("s", root=root)


def test_a_system_without_a_table_of_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a system never says what a file system is, it is taken; on Linux it should say."""
    monkeypatch.setattr(rooms, "file_system_of", lambda descriptor: "")
    monkeypatch.setattr(rooms, "_reliable", set())
    with pytest.raises(RootRefused, match="unknown type"):
        use(tmp_path / "root")
    with monkeypatch.context() as other:
        other.setattr(sys, "platform", "darwin")
        use(tmp_path / "root")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_place(tmp_path: Path) -> None:
    """Where nothing can be made, the error says so."""
    tmp_path.chmod(0o500)
    with pytest.raises(SystemRefused, match="make it writable"):
        use(tmp_path / "root")
    tmp_path.chmod(0o700)


def test_a_missing_root_has_no_scopes(tmp_path: Path) -> None:
    """Looking for scopes makes no root."""
    backend = LocalBackend(tmp_path / "none")
    assert backend.scopes() == []
    backend.tidy()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["a", "my job", "job-1.2", "größe", "x" * 200])
def test_good_names(name: str) -> None:
    """A name that can be printed can be the name of a scope."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\nb",
        "a\0b",
        "x" * 300,
        "ü" * 101,
        "\udcff",
        "garbage-1",
        "\x1b",
    ],
)
def test_bad_names(name: str) -> None:
    """A name that cannot be a directory, or would confuse its reader, is refused."""
    with pytest.raises(UsageError, match="cannot be the name of a scope"):
        check_name(name)


@pytest.mark.parametrize("name", [3, b"x", None])
def test_names_are_strings(name: object) -> None:
    """A name that is no string is refused."""
    with pytest.raises(TypeError, match="must be a string"):
        check_name(name)  # type: ignore[arg-type]
