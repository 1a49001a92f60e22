"""File systems: which one a directory is on, and the few that can be relied on."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

import pytest

from lastout._platform import filesystems
from lastout._platform.filesystems import RELIABLE, file_system_of
from support.unshared import run_mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what they are")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    """A directory, open."""
    number = os.open(tmp_path, os.O_RDONLY)
    yield number
    os.close(number)


def mount_id(number: int) -> str:
    return filesystems.mount_of(number).partition(":")[2].strip()


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/run", "/var/tmp"])
def test_usual_places(place: str) -> None:
    """Where roots lie, on a machine as in a container, is a file system to rely on."""
    if not os.path.isdir(place):
        pytest.skip("there is no such place here")
    number = os.open(place, os.O_RDONLY)
    try:
        assert file_system_of(number) in RELIABLE
    finally:
        os.close(number)


def test_proc_is_none(here: int) -> None:
    """A file system that is not known is not taken for one that is."""
    number = os.open("/proc", os.O_RDONLY)
    try:
        assert file_system_of(number) == "proc"
        assert "proc" not in RELIABLE
    finally:
        os.close(number)


def test_it_is_known_by_its_mount(here: int, tmp_path: Path) -> None:
    """Subvolumes of btrfs have device numbers that no mount has; the mount itself tells."""
    table = tmp_path / "mountinfo"
    device = os.fstat(here).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table.write_text(
        f"{mount_id(here)} 35 0:9999 / /here rw,noatime shared:1 - btrfs /dev/root rw\n"
        f"37 35 {number} / /there rw,noatime - nfs4 server:/export rw\n"
    )
    assert file_system_of(here, str(table)) == "btrfs"


def test_it_is_known_by_its_device(here: int, tmp_path: Path) -> None:
    """In a chroot its mount may not be listed, but another one of the same file system."""
    table = tmp_path / "mountinfo"
    device = os.fstat(here).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table.write_text(f"0 35 {number} / /there rw - fuse.sshfs me@there: rw\n")
    assert file_system_of(here, str(table)) == "fuse.sshfs"


def test_nothing_is_listed(here: int, tmp_path: Path) -> None:
    """Where no table tells, as without /proc, the system is asked about the directory itself."""
    assert file_system_of(here, str(tmp_path / "none")) in RELIABLE
    number = os.open("/proc", os.O_RDONLY)
    try:
        assert file_system_of(number, str(tmp_path / "none")) == "number 0x9fa0"
    finally:
        os.close(number)


def test_nobody_can_be_asked(here: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without `ctypes`, and no table: then nothing is known."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert file_system_of(here, str(tmp_path / "none")) == ""


@pytest.mark.parametrize("kind", ["overlay", "ramfs", "tmpfs"])
def test_a_program_in_a_container(kind: str, tmp_path: Path) -> None:
    """On what containers have for a disk, scopes work."""
    script = """
import sys
import lastout
with lastout.Scope("s", root=sys.argv[1] + "/disk/root") as scope:
    print(len(scope.members()))
"""
    for name in ("lower", "upper", "work", "disk"):
        (tmp_path / name).mkdir()
    layers = "lowerdir=lower,upperdir=upper,workdir=work" if kind == "overlay" else "mode=700"
    mount = f'cd "$1" && mount -t {kind} -o {layers} none disk'
    ran = run_mounted(mount, script, tmp_path)
    assert (ran.stdout, ran.stderr) == ("1\n", "")


def test_a_program_on_an_unknown_one(tmp_path: Path) -> None:
    """A real file system of another kind is refused, by its name, and nothing lies in it."""
    script = """
import os, sys
import lastout
try:
    lastout.Scope("s", root=sys.argv[1] + "/root")
except lastout.errors.RootRefused as error:
    print(error.file_system, os.listdir(error.path))
"""
    ran = run_mounted('mount -t hugetlbfs none "$1"', script, tmp_path)
    assert (ran.stdout, ran.stderr) == ("hugetlbfs []\n", "")
