"""Another user of the machine: gets nothing of ours done, and does nothing of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout import Scope
from support.artifacts import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

OTHER = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

# A process that has loaded all of lastout, and then becomes the other user.
BECOME = f"""
import os, sys
import lastout
import lastout._shared.recovery, lastout._shared.scope, lastout.backends.local
from lastout.errors import LastoutError
path = sys.argv[1]
os.chdir("/")
os.setgroups([])
os.setresgid({OTHER}, {OTHER}, {OTHER})
os.setresuid({OTHER}, {OTHER}, {OTHER})
"""


@pytest.fixture
def commons(tmp_path: Path) -> Iterator[Path]:
    """A directory that the other user can reach, and write to."""
    opened = [path for path in tmp_path.parents if path.stat().st_mode & 0o001 == 0]
    before = {path: path.stat().st_mode for path in [*opened, tmp_path]}
    for path in before:
        path.chmod(before[path] | 0o011)
    made = tmp_path / "commons"
    made.mkdir()
    made.chmod(0o1777)
    yield made
    for path, mode in before.items():
        path.chmod(mode)


def test_ours_is_refused_to_them(commons: Path, program: Callable[..., Program]) -> None:
    """Who cannot write to a root neither joins its scopes nor reaps them; nothing changes."""
    root = commons / "root"
    with Scope("s", root=root) as scope:
        made = scope.file(commons / "made")
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
        assert len(scope.members()) == 1


@pytest.mark.parametrize("what", ["directory", "link"])
def test_theirs_is_refused_to_us(commons: Path, program: Callable[..., Program], what: str) -> None:
    """A root that they planted where ours should be is not used, nor what stands in it done."""
    victim, root = commons.parent / "victim", commons / "root"
    victim.mkdir()
    child = program(
        BECOME
        + """
from lastout._shared import journal
from lastout.backends.local import LocalBackend
from lastout._process.deadline import Deadline
victim, what = sys.argv[2:]
place = path + (".theirs" if what == "link" else "")
pickle = {"token": "t", "timeout": None, "cwd": "/", "path": [], "pickle": "not to be loaded"}
with LocalBackend(place).hold("s", Deadline(10), create=True):
    LocalBackend(place).publish(
        "s",
        "abc",
        journal.header("abc")
        + journal.made(1, 1, "directory", victim, "scope", (), {})
        + journal.made(2, 2, "callback", "a:b", "scope", (), pickle),
    )
if what == "link":
    os.symlink(place, path)
""",
        args=[str(root), str(victim), what],
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    with pytest.raises(lastout.errors.RootRefused):
        Scope("s", root=root)
    with pytest.raises(lastout.errors.RootRefused):
        lastout.reap(root)
    assert victim.is_dir()


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
