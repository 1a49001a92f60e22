"""Mounts: unmounted though they are in use, and only the one that was recorded."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import errors
from lastout._platform import libc, mounts, pids
from support.adopted import reap, shown, track_and_be_killed
from support.artifacts import track
from support.unprivileged import without_privileges
from support.unshared import unshared

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBC = ctypes.CDLL(None, use_errno=True)


def mount(point: Path, *options: str) -> None:
    """Mount memory there, or what the options say; skips where that is refused."""
    if not options:
        none = ctypes.c_ulong(0), None
        if LIBC.mount(b"lastout-test", os.fsencode(point), b"tmpfs", *none):
            pytest.skip(f"mounting needs root: {os.strerror(ctypes.get_errno())}")
        return
    tool = shutil.which("mount")
    if tool is None:
        pytest.skip("there is no mount(8) here")
    command = [tool, *options, str(point)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"cannot mount here: {tried.stderr}")


def mounted(point: Path) -> int:
    """How many there are at that path."""
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return places.count(str(point).replace(" ", r"\040"))


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    """Where something is mounted."""
    made = tmp_path.resolve() / "a mount point"
    made.mkdir()
    mount(made)
    yield made
    while mounted(made):
        assert LIBC.umount2(os.fsencode(made), 2) == 0


def test_it_is_unmounted(point: Path) -> None:
    """Cleaning unmounts it and leaves the directory; twice is once."""
    made = track("mount", point)
    made.clean()
    assert mounted(point) == 0
    assert point.is_dir()
    made.clean()


def test_it_is_in_use(point: Path) -> None:
    """Who has a file in it open keeps that, and holds nobody up."""
    with open(point / "file", "w+") as file:
        track("mount", point).clean()
        assert mounted(point) == 0
        assert file.write("still")
        file.flush()


def test_with_the_directory_it_is_gone(point: Path) -> None:
    """Where even the directory is gone nothing can be mounted."""
    made = track("mount", point)
    made.clean()
    point.rmdir()
    made.clean()


def test_what_is_mounted_on_top_is_left_alone(point: Path) -> None:
    """Another mount over the one that was recorded stays, with that one; both after it is gone."""
    made = track("mount", point)
    mount(point)
    with pytest.raises(errors.ArtifactReplaced, match="tmpfs"):
        made.clean()
    assert mounted(point) == 2
    LIBC.umount2(os.fsencode(point), 0)
    made.clean()
    assert mounted(point) == 0


def test_what_is_mounted_instead_is_left_alone(point: Path) -> None:
    """The kernel gives mount and device numbers again at once, but for one that it never does."""
    made = track("mount", point)
    if "unique" not in made.data:
        pytest.skip("the kernel, before Linux 6.8, does not tell them apart")
    LIBC.umount2(os.fsencode(point), 0)
    mount(point)
    again = track("mount", point).data
    assert again["unique"] != made.data["unique"]
    with pytest.raises(errors.ArtifactReplaced):
        made.clean()
    assert mounted(point) == 1


def test_another_device_instead_on_an_older_kernel(
    point: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a number of its own, what is mounted tells it apart."""
    monkeypatch.setattr(libc, "unique_mount_id", lambda _: None)
    made = track("mount", point)
    assert "unique" not in made.data
    LIBC.umount2(os.fsencode(point), 0)
    mount(point, "--bind", str(tmp_path))
    with pytest.raises(errors.ArtifactReplaced):
        made.clean()
    assert mounted(point) == 1


def test_of_two_below_another_only_the_recorded_goes(point: Path) -> None:
    """The upper one of two that was recorded goes, the lower one stays."""
    mount(point)
    track("mount", point).clean()
    assert mounted(point) == 1


def test_by_a_link(point: Path, tmp_path: Path) -> None:
    """It is recorded where it is, whatever way leads there."""
    link = tmp_path / "link"
    link.symlink_to(point)
    assert track("mount", link).location == str(point)


def test_a_link_in_its_place_is_not_followed(point: Path, tmp_path: Path) -> None:
    """What a link points to that came later is not unmounted."""
    other = tmp_path / "other"
    other.mkdir()
    made = track("mount", point)
    made.clean()
    point.rmdir()
    mount(other)
    try:
        point.symlink_to(other)
        made.clean()
        assert mounted(other) == 1
    finally:
        LIBC.umount2(os.fsencode(other), 2)
        point.unlink()


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[Path]:
    """Where a file system of FUSE is mounted, whose program was killed: nobody answers."""
    point = tmp_path.resolve() / "fuse"
    point.mkdir()
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"there is no FUSE here: {error}")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    flags = ctypes.c_ulong(6)  # nosuid, nodev
    refused = LIBC.mount(b"lastout-test", os.fsencode(point), b"fuse", flags, options)
    os.close(device)
    if refused:
        pytest.skip(f"FUSE cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    yield point
    LIBC.umount2(os.fsencode(point), 2)


def test_one_whose_program_is_gone(fuse: Path) -> None:
    """Looking at such a file system fails, unmounting it does not."""
    with pytest.raises(OSError, match="not connected"):
        os.listdir(fuse)
    track("mount", fuse).clean()
    assert mounted(fuse) == 0


def test_nothing_is_mounted(tmp_path: Path) -> None:
    """A plain directory is no mount, nor is what is not there."""
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(errors.ArtifactMissing, match="nothing is mounted there"):
            track("mount", place)


@pytest.mark.parametrize("location", ["", "\0", "x" * 256])
def test_what_cannot_be_a_path(location: str) -> None:
    """An impossible path is an error before anything is looked for."""
    with pytest.raises(errors.UsageError, match="cannot be the path"):
        track("mount", location)


def test_the_root_is_refused() -> None:
    """All that the program needs lies there."""
    with pytest.raises(errors.UsageError, match="mounted at /"):
        track("mount", "/")


def test_who_may_not_unmount(point: Path) -> None:
    """Without root's rights it cannot be handed over."""
    raised = without_privileges(lambda: track("mount", point))
    assert isinstance(raised, errors.SystemRefused)
    assert "only root may unmount it" in str(raised)


def test_cleaned_by_one_who_may_not(point: Path) -> None:
    """Whoever gave up root's rights cannot clean it, and it stays."""
    made = track("mount", point)
    raised = without_privileges(made.clean)
    assert isinstance(raised, PermissionError)
    assert mounted(point) == 1


@pytest.fixture
def fusermount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands for `fusermount3`, which is not everywhere: it tells what it was told.

    The real one is a program of root's that unmounts what its caller has mounted.
    """
    double = tmp_path / "bin" / "fusermount3"
    double.parent.mkdir()
    double.write_text('#!/bin/sh\necho "$@" > "$0.said"\n')
    double.chmod(0o755)
    monkeypatch.setenv("PATH", str(double.parent), prepend=os.pathsep)
    return double


def test_a_user_s_own_goes_by_fusermount(fuse: Path, fusermount: Path) -> None:
    """What an ordinary user has mounted by FUSE, fusermount is asked to unmount, lazily."""
    assert without_privileges(lambda: track("mount", fuse).clean()) is None
    said = fusermount.with_name("fusermount3.said").read_text()
    assert said == f"-u -z -- {fuse}\n"


def test_another_user_s_fuse_is_refused(
    fuse: Path, fusermount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has not mounted it cannot hand it over."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    raised = without_privileges(lambda: track("mount", fuse))
    assert isinstance(raised, errors.SystemRefused)
    assert "another user has mounted it" in str(raised)


def test_without_fusermount_a_user_s_own_is_refused(
    fuse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing could unmount it then."""
    monkeypatch.setenv("PATH", str(tmp_path))
    raised = without_privileges(lambda: track("mount", fuse))
    assert isinstance(raised, errors.SystemRefused)
    assert "no fusermount" in str(raised)


def test_in_another_namespace(tmp_path: Path) -> None:
    """What is mounted in a private namespace that lives is not looked for here."""
    point = tmp_path.resolve() / "private"
    point.mkdir()
    line = f'mount -t tmpfs none "{point}" && echo ready && exec cat >/dev/null'
    with subprocess.Popen(
        [*unshared("--mount"), "sh", "-c", line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as inside:
        assert inside.stdout is not None
        assert inside.stdout.readline() == "ready\n"
        mount(point)
        try:
            made = track("mount", point)
            made.data["namespace"] = os.stat(f"/proc/{inside.pid}/ns/mnt").st_ino
            with pytest.raises(errors.CleanupFailed, match="another mount namespace"):
                made.clean()
            assert mounted(point) == 1
        finally:
            LIBC.umount2(os.fsencode(point), 2)
            inside.communicate(timeout=30)


def test_files_in_it_go_before_it(point: Path, tmp_path: Path) -> None:
    """What the scope made in a mount is removed while that is mounted, whichever was first."""
    with lastout.Scope("job", root=tmp_path / "root") as scope:
        inside = scope.file(point / "inside")
        scope.track("mount", point)
        assert os.path.exists(inside)
        below = os.open(point, os.O_PATH)
    assert mounted(point) == 0
    try:
        assert os.listdir(f"/proc/self/fd/{below}") == []
    finally:
        os.close(below)


def test_it_goes_before_the_directory_that_it_is_in(tmp_path: Path) -> None:
    """A mount in a directory of the scope does not keep that from being removed."""
    with lastout.Scope("job", root=tmp_path / "root") as scope:
        outer = scope.directory(tmp_path.resolve() / "outer")
        place = outer / "place"
        place.mkdir()
        mount(place)
        (place / "file").touch()
        scope.track("mount", place)
    assert not os.path.exists(outer)
    assert mounted(place) == 0


def test_after_a_kill(point: Path, tmp_path: Path) -> None:
    """What a killed process had handed over goes with the next reap."""
    track_and_be_killed(tmp_path / "root", "mount", point)
    assert mounted(point) == 1
    reap(tmp_path / "root")
    assert mounted(point) == 0


def test_it_is_listed(point: Path, tmp_path: Path) -> None:
    """`lastout show` says where it is."""
    with lastout.Scope("job", root=tmp_path / "root") as scope:
        scope.track("mount", point)
        assert str(point) in shown(tmp_path / "root")


def test_unmounted_in_the_moment_between(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may unmount it after it was looked at."""
    made, unmount = track("mount", point), mounts.unmount

    def be_late(descriptor: int) -> None:
        unmount(descriptor)
        unmount(descriptor)

    monkeypatch.setattr(mounts, "unmount", be_late)
    made.clean()
    assert mounted(point) == 0


def test_another_boot_took_it_along(point: Path) -> None:
    """After a reboot whatever is mounted there is somebody else's."""
    made = track("mount", point)
    made.data["boot"] = "another"
    made.clean()
    assert mounted(point) == 1


def test_without_the_table(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system does not tell of cannot be known again, and is not recorded."""

    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mounts, "_table", refuse)
    with pytest.raises(errors.SystemRefused, match="Permission denied"):
        track("mount", point)


def test_rights_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say so, nobody is taken for root."""

    def refuse(_: str) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(pids, "read_all", refuse)
    assert not mounts.may_unmount()


def test_a_kernel_without_numbers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older kernel, or a closed descriptor, gives none."""
    assert libc.unique_mount_id(-1) is None
    monkeypatch.setattr(libc, "_UNIQUE_MOUNT_ID", 1 << 30)
    assert libc.unique_mount_id(0) is None


def test_escapes_of_the_table() -> None:
    """Spaces, tabs, newlines and backslashes in a path are written as numbers."""
    assert mounts._plain(r"/a\040b\011c\012d\134e") == "/a b\tc\nd\\e"
