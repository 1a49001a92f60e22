"""Another user of the machine: gets nothing of ours done, and does nothing of ours."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope, errors
from lastout._scopes.records import journal
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
from support.artifacts import failures, make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

OTHER = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

# A process that has loaded all of lastout, and then becomes the other user.
BECOME = f"""
import os, sys
import lastout
import lastout._scopes.reaping.recovery, lastout._scopes.scope, lastout.backends.local
from lastout.errors import LastoutError
path = sys.argv[1]
os.chdir("/")
os.setgroups([])
os.setresgid({OTHER}, {OTHER}, {OTHER})
os.setresuid({OTHER}, {OTHER}, {OTHER})
"""


class Trap:
    """Makes a directory where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def planted(victim: Path, loaded: Path) -> bytes:
    """A journal that has `victim` removed, and `loaded` made by whoever loads a pickle in it."""
    pickled = pickle.dumps((print, (Trap(str(loaded)),), {}))
    call = {"token": "t", "timeout": None, "cwd": "/", "path": sys.path}
    call["pickle"] = base64.b85encode(pickled).decode()
    return (
        journal.header("abc")
        + journal.made(1, 1, "directory", str(victim), "scope", (), {})
        + journal.made(2, 2, "callback", "a:b", "scope", (), call)
    )


@pytest.fixture
def commons() -> Iterator[Path]:
    """A directory that the other user can reach, and write to.

    Not below that of pytest, which nobody else may enter: other runs use it too.
    """
    with tempfile.TemporaryDirectory(prefix="lastout-") as directory:
        if any(not path.stat().st_mode & 0o001 for path in Path(directory).parents):
            pytest.skip("temporary files lie where nobody else may go")
        Path(directory).chmod(0o711)
        made = Path(directory, "commons")
        made.mkdir()
        made.chmod(0o1777)
        yield made


def test_ours_is_refused_to_them(commons: Path, program: Callable[..., Program]) -> None:
    """Who cannot write to a root neither joins its scopes nor reaps them; nothing changes."""
    root = commons / "root"
    with Scope("s", root=root) as scope:
        made, called = scope.file(commons / "made"), commons / "called"
        scope.callback(called.touch)
        child = program(
            BECOME
            + """
for act in (lambda: lastout.Scope("s", root=path), lambda: lastout.reap(path)):
    try:
        act()
        print("done")
    except LastoutError as error:
        print(type(error).__name__)
os.environ["LASTOUT_SCOPE"] = path + "/s"
try:
    lastout.current_scope()
except LastoutError as error:
    print(type(error).__name__)
""",
            args=[str(root)],
        )
        ended = child.end()
        assert ended.status == 0, ended.err
        assert set(ended.out.split()) <= {"RootRefused", "SystemRefused"}
        assert len(ended.out.split()) == 3
        assert os.path.exists(made)
        assert not called.exists()
        assert len(scope.members()) == 1


@pytest.mark.parametrize("what", ["directory", "link"])
def test_theirs_is_refused_to_us(commons: Path, program: Callable[..., Program], what: str) -> None:
    """A root that they planted where ours should be is not used, nor what stands in it done."""
    victim, loaded, root = commons.parent / "victim", commons / "loaded", commons / "root"
    victim.mkdir()
    child = program(
        BECOME
        + """
from base64 import b64decode
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
what, records = sys.argv[2:]
place = path + (".theirs" if what == "link" else "")
with LocalBackend(place).lock_scope("s", Deadline(10), create=True):
    LocalBackend(place).publish("s", "abc", b64decode(records))
if what == "link":
    os.symlink(place, path)
""",
        args=[str(root), what, base64.b64encode(planted(victim, loaded)).decode()],
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    with pytest.raises(errors.RootRefused):
        Scope("s", root=root)
    with pytest.raises(errors.RootRefused):
        lastout.reap(root)
    assert victim.is_dir()
    assert not loaded.exists()


@pytest.mark.parametrize("spot", ["", "s", "s/abc.journal"])
def test_nothing_of_theirs_is_unpickled(commons: Path, spot: str) -> None:
    """If a root, a scope or a journal is theirs, no pickle in it is loaded, and nothing removed."""
    root, victim, loaded = (commons.parent / name for name in ("root", "victim", "loaded"))
    victim.mkdir()
    with LocalBackend(root).lock_scope("s", Deadline(10), create=True) as held:
        held.publish("abc", planted(victim, loaded)).close()
    os.chown(root / spot, OTHER, OTHER)
    if spot:
        assert [type(one) for one in failures(lastout.reap(root))] == [errors.RootRefused]
    else:
        with pytest.raises(errors.RootRefused):
            lastout.reap(root)
    assert not loaded.exists()
    assert victim.is_dir()
    # Whose it is was all that kept it from being loaded.
    os.chown(root / spot, 0, 0)
    lastout.reap(root)
    assert loaded.is_dir()
    assert not victim.exists()


def test_a_pickle_cannot_be_tracked(commons: Path) -> None:
    """What is to be called is recorded by `callback` alone: `track` loads and calls nothing."""
    loaded = commons.parent / "loaded"
    pickled = pickle.dumps(Trap(str(loaded)))
    with Scope("s", root=commons.parent / "root") as scope:
        for location in (pickled, base64.b85encode(pickled).decode()):
            with pytest.raises(errors.UsageError):
                scope.track("callback", location)
        assert scope.artifacts() == ()
    assert not loaded.exists()


def test_directories_swapped_while_they_are_removed(commons: Path) -> None:
    """Whoever puts links in place of directories under a removal has nothing else removed."""
    precious = commons / "precious"
    precious.mkdir()
    (precious / "data").touch()
    swapper = subprocess.Popen(
        [
            sys.executable,
            "-c",
            BECOME
            + """
print("ready", flush=True)
while True:
    for name in range(40):
        here = f"{path}/{name}"
        try:
            os.rename(here, here + ".away")
            os.symlink(path + "/../precious", here)
        except OSError:
            continue
""",
            str(commons / "ours"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"ready\n"
        for _ in range(10):
            built = make("directory", commons / "built", "/nowhere")
            for name in range(40):
                inner = Path(built.location, str(name), "inner")
                inner.mkdir(parents=True)
                inner.parent.chmod(0o777)
                (inner / "file").touch()
            Path(built.location).chmod(0o777)
            os.rename(built.location, commons / "ours")
            ours = built._replace(location=str(commons / "ours"))
            while os.path.exists(ours.location):
                try:
                    ours.clean()
                except lastout.LastoutError:
                    continue  # told that something was swapped: the next one removes it
            assert (precious / "data").exists()
    finally:
        swapper.kill()
        swapper.wait()
        swapper.stdout.close() if swapper.stdout else None
