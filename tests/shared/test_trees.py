"""Directories: everything in them goes, nothing outside of them does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lastout import errors
from lastout._scopes.kinds import directory as trees
from support.artifacts import Made, make
from support.unprivileged import without_privileges

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A directory of ours."""
    return make("directory", tmp_path / "ours", "/nowhere")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A directory of somebody else, with a file in it."""
    path = tmp_path / "theirs"
    path.mkdir()
    (path / "precious").touch()
    return path


def test_everything_in_it_goes(made: Made, theirs: Path) -> None:
    """Files, directories, pipes and links go; what links point to stays."""
    inside = Path(made.location)
    (inside / "a" / "b" / "c").mkdir(parents=True)
    (inside / "a" / "file").touch()
    (inside / "a" / "b" / "link").symlink_to(theirs)
    (inside / "dangling").symlink_to("nowhere")
    os.mkfifo(inside / "a" / "fifo")
    os.link(theirs / "precious", inside / "hard")
    made.clean()
    assert not inside.exists()
    assert (theirs / "precious").exists()


def test_any_depth_with_few_descriptors(made: Made) -> None:
    """A tree deeper than paths, stacks and descriptor tables allow is removed."""
    here = os.open(made.location, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    made.clean()
    assert not os.path.exists(made.location)


def test_unreadable_directories_are_opened(made: Made) -> None:
    """What its owner locked is the owner's to remove."""
    locked = Path(made.location) / "locked" / "deeper"
    locked.mkdir(parents=True)
    (locked / "file").touch()
    for path, mode in ((locked, 0o500), (locked.parent, 0o000), (locked.parents[1], 0o300)):
        path.chmod(mode)
    assert without_privileges(made.clean) is None
    assert not os.path.exists(made.location)


def test_the_directory_above_need_not_be_readable(made: Made, tmp_path: Path) -> None:
    """To remove something from a directory it is enough to be allowed to change it."""
    Path(made.location, "sub").mkdir()
    tmp_path.chmod(0o300)
    raised = without_privileges(made.clean)
    tmp_path.chmod(0o700)
    assert raised is None
    assert not os.path.exists(made.location)


def test_a_swapped_subdirectory_is_not_followed(
    made: Made, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that becomes a link after it was seen is not entered."""
    inside = Path(made.location, "sub")
    inside.mkdir()
    opened = trees._Walk._open

    def swap_first(walk: trees._Walk, name: str) -> int:
        if name == "sub" and not inside.is_symlink():
            inside.rmdir()
            inside.symlink_to(theirs)
        return opened(walk, name)

    monkeypatch.setattr(trees._Walk, "_open", swap_first)
    with pytest.raises(errors.CleanupFailed, match="sub"):
        made.clean()
    assert (theirs / "precious").exists()
    monkeypatch.undo()
    made.clean()


def test_a_swapped_top_is_not_followed(
    made: Made, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even between the look and the opening another directory is known as another one."""
    opened = trees._Walk._open

    def swap_first(walk: trees._Walk, name: str) -> int:
        os.rename(made.location, made.location + ".away")
        os.rename(theirs, made.location)
        return opened(walk, name)

    monkeypatch.setattr(trees._Walk, "_open", swap_first)
    with pytest.raises(errors.ArtifactReplaced, match="another one"):
        made.clean()
    assert Path(made.location, "precious").exists()


def test_a_moved_directory_leads_nowhere_else(
    made: Made, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory moved elsewhere while it is emptied does not take the cleaner with it."""
    inside = Path(made.location, "sub")
    inside.mkdir()
    left = trees._Walk._leave

    def move_first(walk: trees._Walk, step: trees._Step) -> None:
        if step.name == "sub":
            inside.rename(theirs / "sub")
        left(walk, step)

    monkeypatch.setattr(trees._Walk, "_leave", move_first)
    with pytest.raises(errors.ArtifactReplaced, match="moved"):
        made.clean()
    assert sorted(os.listdir(theirs)) == ["precious", "sub"]
    monkeypatch.undo()
    made.clean()


def test_things_that_vanish_are_no_error(made: Made) -> None:
    """Two that remove the same tree at once are both content."""
    for number in range(300):
        Path(made.location, f"d{number}").mkdir()
        Path(made.location, f"d{number}", "file").touch()
    failed: list[BaseException] = []
    start = threading.Barrier(2)

    def remove() -> None:
        start.wait()
        try:
            made.clean()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=remove) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert not os.path.exists(made.location)


def test_files_that_come_meanwhile_go_too(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who still writes is waited out."""
    looked = trees._Walk._unlink_files
    more = iter(["first", "second", "third"])

    def write_after(walk: trees._Walk, step: trees._Step) -> None:
        looked(walk, step)
        for name in more:
            Path(made.location, name).touch()
            break

    monkeypatch.setattr(trees._Walk, "_unlink_files", write_after)
    made.clean()
    assert not os.path.exists(made.location)


def test_one_that_is_written_to_for_ever_is_reported(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cleaner gives up on it with an error, and it can be cleaned later."""
    looked = trees._Walk._unlink_files

    def write_after(walk: trees._Walk, step: trees._Step) -> None:
        looked(walk, step)
        Path(made.location, "again").touch()

    monkeypatch.setattr(trees._Walk, "_unlink_files", write_after)
    with pytest.raises(errors.CleanupFailed, match="not empty"):
        made.clean()
    monkeypatch.undo()
    made.clean()


def test_time_that_is_over_is_an_error(made: Made) -> None:
    """What is left stays recorded and is removed the next time."""
    Path(made.location, "sub").mkdir()
    with pytest.raises(errors.CleanupTimeout, match="next time") as caught:
        made.clean(0.0)
    assert isinstance(caught.value, errors.HandlerTimeout)
    made.clean()
    assert not os.path.exists(made.location)


@pytest.fixture
def mounted(made: Made, theirs: Path) -> Path:
    """Somebody's directory, mounted inside of ours as containers and sandboxes do."""
    point = Path(made.location, "keeps", "mounted")
    point.mkdir(parents=True)
    Path(made.location, "goes").mkdir()
    return point


def test_mount_points_are_not_entered(made: Made, mounted: Path, theirs: Path) -> None:
    """What is mounted inside stays whole, though it has our own device number."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    tried = subprocess.run([mount, "--bind", theirs, mounted], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"cannot mount here: {tried.stderr.decode(errors='replace')}")
    try:
        with pytest.raises(errors.CleanupFailed, match="mounted there"):
            made.clean()
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert os.listdir(theirs) == ["precious"]
    assert os.listdir(made.location) == ["keeps"], "the rest goes"
    made.clean()


def test_a_killed_cleaner_is_finished_by_the_next(
    made: Made, program: Callable[..., Program]
) -> None:
    """SIGKILL in the middle of a removal leaves a tree that the next one removes."""
    for number in range(5000):
        Path(made.location, str(number)).touch()
    child = program(
        f"""
        import os, signal
        from lastout.deadline import Deadline
        from lastout._scopes.kinds import table as cleaners

        unlink, done = os.unlink, []

        def killed_half_way(*args, **kwargs):
            if len(done) == 2500:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(unlink(*args, **kwargs))

        os.unlink = killed_half_way
        cleaners.clean("directory", {made.location!r}, {made.data!r}, Deadline())
        """
    )
    assert child.end().status == -signal.SIGKILL
    assert len(os.listdir(made.location)) == 2500
    made.clean()
    assert not os.path.exists(made.location)
