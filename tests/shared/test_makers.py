"""What holds for the making of every kind: it can be recorded, and a failure leaves nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lastout._scopes.kinds import callback as callbacks
from lastout._scopes.kinds import paths
from lastout._scopes.kinds import popen as processes
from lastout._scopes.kinds import table as cleaners
from lastout._scopes.kinds.base import Trackable
from support.artifacts import make, recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lastout._scopes.kinds.base import Recipe


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """This process can open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_every_kind_has_its_maker_and_its_cleaner() -> None:
    """Each kind is made or handed over, and cleaned, and there are no more than in the design."""
    design = "directory file socket shared_memory semaphore popen command callback"
    handed_over = "url message_queue sysv mount container"
    assert {*design.split(), *handed_over.split()} == cleaners.KINDS
    for kind in cleaners.KINDS:
        assert cleaners.find(kind).name == kind
    for kind in design.split():
        assert callable(import_module(f"lastout._scopes.kinds.{kind}").recipe)
    for kind in handed_over.split():
        assert isinstance(cleaners.find(kind), Trackable)


@pytest.mark.parametrize(
    "prepare",
    [
        lambda base: recipe("directory", None, base),
        lambda base: recipe("file", None, base),
        lambda base: recipe("socket", None, base),
        lambda _: recipe("shared_memory", 64),
        lambda _: recipe("semaphore"),
        lambda _: recipe("popen", ["true"]),
        lambda _: recipe("command", ["true"]),
        lambda _: recipe("callback", lambda: None),
    ],
)
def test_preparing_makes_nothing(prepare: Callable[[str], Recipe[object]], tmp_path: Path) -> None:
    """What was never recorded must not exist."""
    before = set(os.listdir("/dev/shm"))
    made = prepare(str(tmp_path))
    location, data = made.location, made.data
    assert location
    assert isinstance(data, dict)
    assert os.listdir(tmp_path) == []
    assert not any(location in name for name in set(os.listdir("/dev/shm")) - before)
    assert callbacks._live == processes._ours == {}


@pytest.mark.parametrize("kind", ["file", "shared_memory", "semaphore", "popen"])
def test_without_descriptors_nothing_is_made(kind: str, tmp_path: Path) -> None:
    """A process that has none left gets the system's error, and no half of an artifact."""
    arguments = {"file": (None, str(tmp_path)), "shared_memory": (64,), "popen": (["true"],)}
    made = recipe(kind, *arguments.get(kind, ()))
    location, create = made.location, made.create
    assert create is not None
    with no_descriptors_left(), pytest.raises(OSError, match="Too many open files") as caught:
        create()
    assert caught.value.errno == errno.EMFILE
    assert os.listdir(tmp_path) == []
    assert not any(location in name for name in os.listdir("/dev/shm"))
    assert processes._ours == {}


def test_a_process_is_prepared_only_with_descriptors() -> None:
    """The lack of them is not taken for a system without pidfds."""
    with no_descriptors_left(), pytest.raises(OSError, match="Too many open files"):
        recipe("popen", ["true"])


@pytest.mark.parametrize("kind", ["directory", "command", "callback"])
def test_what_cannot_be_cleaned_without_descriptors_stays(kind: str, tmp_path: Path) -> None:
    """It is an error, and cleaned when there are some again."""
    path = tmp_path / "it"
    if kind == "directory":
        made = make("directory", path, "/nowhere")
    elif kind == "command":
        made = make("command", ["rmdir", str(path)])
    else:
        made = make("callback", os.rmdir, (str(path),))
    if kind != "directory":
        path.mkdir()
        callbacks._live.clear()
    with no_descriptors_left(), pytest.raises(OSError, match="Too many open files"):
        made.clean()
    assert path.exists()
    made.clean()
    assert not path.exists()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on which nothing more can be made."""
    mount, path = shutil.which("mount"), tmp_path / "full"
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    path.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "tmpfs", path]
    tried = subprocess.run(command, capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"cannot mount here: {tried.stderr.decode(errors='replace')}")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_on_a_full_disk_nothing_is_made(kind: str, full_disk: Path) -> None:
    """The system's error comes through, and nothing is there."""
    with pytest.raises(OSError, match="No space left"):
        make(kind, full_disk / "it", "/nowhere")
    assert os.listdir(full_disk) == []


def test_forgetting_is_for_every_kind() -> None:
    """Whatever is kept, this process lets go of what it held for it."""
    made = make("callback", print)
    assert len(callbacks._live) == 1
    for kind in cleaners.KINDS:
        cleaners.forget(kind, made.location, made.data)
    assert callbacks._live == {}


@pytest.mark.parametrize("kind", ["directory", "file", "shared_memory", "semaphore"])
def test_what_cannot_be_made_in_whole_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Made, but then the system refuses to look at it: an error, and nothing is there."""
    numbers = {"shared_memory": 100, "semaphore": 1}
    name = f"lastout-{tmp_path.name}-{os.getpid()}"
    create = (
        recipe(kind, numbers[kind], name)
        if kind in numbers
        else recipe(kind, tmp_path / "made", "/nowhere")
    ).create
    assert create is not None

    def refused(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(paths, "facts", refused)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        create()
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    assert not Path("/dev/shm", name).exists()
    assert not Path(f"/dev/shm/sem.{name}").exists()
